package mnext.demo.core

/** A decoded picture. Nothing here or in the rest of this package needs Android: a desktop JVM runs it as it is. */
interface Pixels {
    val width: Int
    val height: Int

    /** Fills [out], row by row, with the pixels of a block as 0xAARRGGBB. */
    fun block(x: Int, y: Int, width: Int, height: Int, out: IntArray)
}

/** [source] turned and mirrored so that a picture with this EXIF [orientation], 1 to 8, stands upright. */
class Upright(private val source: Pixels, orientation: Int) : Pixels {
    private val swapped = orientation >= 5
    private val mirrorX = orientation in MIRRORED_X
    private val mirrorY = orientation in MIRRORED_Y
    private var scratch = IntArray(0)

    override val width = if (swapped) source.height else source.width
    override val height = if (swapped) source.width else source.height

    override fun block(x: Int, y: Int, width: Int, height: Int, out: IntArray) {
        // the same block in the source: across and down are its size there
        val across = if (swapped) height else width
        val down = if (swapped) width else height
        val left = (if (swapped) y else x).let { if (mirrorX) source.width - it - across else it }
        val top = (if (swapped) x else y).let { if (mirrorY) source.height - it - down else it }
        if (scratch.size < across * down) scratch = IntArray(across * down)
        source.block(left, top, across, down, scratch)
        for (j in 0 until height) {
            for (i in 0 until width) {
                val u = (if (swapped) j else i).let { if (mirrorX) across - 1 - it else it }
                val v = (if (swapped) i else j).let { if (mirrorY) down - 1 - it else it }
                out[j * width + i] = scratch[v * across + u]
            }
        }
    }

    private companion object {
        val MIRRORED_X = setOf(2, 3, 7, 8) // in the source's own directions
        val MIRRORED_Y = setOf(3, 4, 6, 7)
    }
}
