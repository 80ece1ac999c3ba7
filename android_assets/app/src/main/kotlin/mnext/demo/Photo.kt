package mnext.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.net.Uri
import java.io.File
import java.io.IOException
import mnext.demo.core.BadFile
import mnext.demo.core.Jpeg
import mnext.demo.core.Pixels
import mnext.demo.core.Upright

/**
 * The picture that is being looked at: a copy of our own, so that it is still there, whole, when the phone is turned
 * or the app was ended in between.
 */
class Photo(context: Context) {
    private val file = File(context.filesDir, "picture")
    private val resolver = context.contentResolver

    fun exists(): Boolean = file.length() > 0

    /** Copies what [uri] names. Throws IOException or SecurityException; the picture before stays in that case. */
    fun keep(uri: Uri) {
        val part = File(file.path + ".part")
        val stream = resolver.openInputStream(uri) ?: throw IOException("$uri cannot be opened")
        stream.use { from -> part.outputStream().use { from.copyTo(it) } }
        if (!part.renameTo(file)) throw IOException("$part cannot be renamed")
    }

    /** Takes over what the camera wrote; false where it wrote nothing. */
    fun keep(taken: File): Boolean = taken.length() > 0 && taken.renameTo(file)

    /** As Python reads it: every pixel, colours as they are stored, upright. [Loaded.reduced] is 1, or else it is not. */
    fun load(): Loaded {
        val bytes = file.readBytes()
        val encoded = Jpeg.withoutProfile(bytes)
        var reduced = leastReduction(encoded)
        while (true) {
            try {
                val bitmap = decode(encoded, reduced) ?: throw BadFile("this is no picture that Android can read")
                return Loaded(Upright(BitmapPixels(bitmap), Jpeg.orientation(bytes)), reduced)
            } catch (error: OutOfMemoryError) {
                if (reduced >= 16) throw error
                reduced *= 2
            }
        }
    }

    /** Small and upright, to be looked at; null where Android cannot read it. */
    fun preview(): Bitmap? {
        val bytes = file.readBytes()
        val size = bounds(bytes)
        var reduced = 1
        while (maxOf(size.outWidth, size.outHeight) / reduced > PREVIEW) reduced *= 2
        val options = BitmapFactory.Options().apply { inSampleSize = reduced }
        val bitmap = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options) ?: return null
        val turn = matrix(Jpeg.orientation(bytes))
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, turn, true)
    }

    class Loaded(val pixels: Pixels, val reduced: Int)

    private fun leastReduction(bytes: ByteArray): Int {
        val size = bounds(bytes)
        var reduced = 1
        while (size.outWidth.toLong() * size.outHeight / (reduced * reduced) > MOST_PIXELS) reduced *= 2
        return reduced
    }

    private fun bounds(bytes: ByteArray) = BitmapFactory.Options().apply {
        inJustDecodeBounds = true
        BitmapFactory.decodeByteArray(bytes, 0, bytes.size, this)
    }

    private fun decode(bytes: ByteArray, reduced: Int): Bitmap? = BitmapFactory.decodeByteArray(
        bytes, 0, bytes.size,
        BitmapFactory.Options().apply {
            inSampleSize = reduced
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false // Python drops alpha and takes the colours as they are
        },
    )

    private fun matrix(orientation: Int) = Matrix().apply {
        when (orientation) {
            2 -> setScale(-1f, 1f)
            3 -> setRotate(180f)
            4 -> setScale(1f, -1f)
            5 -> { setRotate(90f); postScale(-1f, 1f) }
            6 -> setRotate(90f)
            7 -> { setRotate(270f); postScale(-1f, 1f) }
            8 -> setRotate(270f)
        }
    }

    private class BitmapPixels(private val bitmap: Bitmap) : Pixels {
        override val width = bitmap.width
        override val height = bitmap.height

        override fun block(x: Int, y: Int, width: Int, height: Int, out: IntArray) =
            bitmap.getPixels(out, 0, width, x, y, width, height)
    }

    private companion object {
        const val PREVIEW = 1600
        const val MOST_PIXELS = 64_000_000L // four bytes each
    }
}
