package mnext.demo.core

/** A decoded image. Nothing in this package depends on Android, so it also runs on a desktop JVM. */
interface Pixels {
    val width: Int
    val height: Int

    /** Fills [out] with a block of pixels as 0xAARRGGBB, in row-major order. */
    fun block(x: Int, y: Int, width: Int, height: Int, out: IntArray)
}

/** [source], rotated and mirrored according to its EXIF [orientation] (1 to 8). */
class OrientedPixels(private val source: Pixels, orientation: Int) : Pixels {
    private val transposed = orientation >= 5
    private val mirrorX = orientation in MIRRORED_X
    private val mirrorY = orientation in MIRRORED_Y
    private var scratch = IntArray(0)

    override val width = if (transposed) source.height else source.width
    override val height = if (transposed) source.width else source.height

    override fun block(x: Int, y: Int, width: Int, height: Int, out: IntArray) {
        // The same block in the source's coordinates.
        val sourceWidth = if (transposed) height else width
        val sourceHeight = if (transposed) width else height
        val left = (if (transposed) y else x).let { if (mirrorX) source.width - it - sourceWidth else it }
        val top = (if (transposed) x else y).let { if (mirrorY) source.height - it - sourceHeight else it }
        if (scratch.size < sourceWidth * sourceHeight) scratch = IntArray(sourceWidth * sourceHeight)
        source.block(left, top, sourceWidth, sourceHeight, scratch)
        for (j in 0 until height) {
            for (i in 0 until width) {
                val u = (if (transposed) j else i).let { if (mirrorX) sourceWidth - 1 - it else it }
                val v = (if (transposed) i else j).let { if (mirrorY) sourceHeight - 1 - it else it }
                out[j * width + i] = scratch[v * sourceWidth + u]
            }
        }
    }

    private companion object {
        val MIRRORED_X = setOf(2, 3, 7, 8) // in the source's coordinates
        val MIRRORED_Y = setOf(3, 4, 6, 7)
    }
}
