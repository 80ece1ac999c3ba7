package mnext.demo

import android.content.Context
import android.graphics.Bitmap
import android.graphics.BitmapFactory
import android.graphics.Matrix
import android.net.Uri
import java.io.File
import java.io.IOException
import mnext.demo.core.InvalidFileException
import mnext.demo.core.Jpeg
import mnext.demo.core.OrientedPixels
import mnext.demo.core.Pixels

/** The current photo, stored as a private copy that survives screen rotation and process death. */
class Photo(context: Context) {
    private val file = File(context.filesDir, "photo")
    private val resolver = context.contentResolver

    fun exists(): Boolean = file.length() > 0

    /** Copies the content of [uri]. Throws IOException or SecurityException; then the previous photo remains. */
    fun save(uri: Uri) {
        val part = File(file.path + ".part")
        val stream = resolver.openInputStream(uri) ?: throw IOException("cannot open $uri")
        stream.use { from -> part.outputStream().use { from.copyTo(it) } }
        if (!part.renameTo(file)) throw IOException("cannot rename $part")
    }

    /** Moves the camera's output file here; false if the camera wrote nothing. */
    fun save(taken: File): Boolean = taken.length() > 0 && taken.renameTo(file)

    /** Decodes the photo like Python: at full size if memory permits, without color management, upright. */
    fun decode(): DecodedPhoto {
        val bytes = file.readBytes()
        val encoded = Jpeg.withoutProfile(bytes)
        var sampleSize = minSampleSize(encoded)
        while (true) {
            try {
                val bitmap = decode(encoded, sampleSize) ?: throw InvalidFileException("Android cannot decode it")
                return DecodedPhoto(OrientedPixels(BitmapPixels(bitmap), Jpeg.orientation(bytes)), sampleSize)
            } catch (error: OutOfMemoryError) {
                if (sampleSize >= 16) throw error
                sampleSize *= 2
            }
        }
    }

    /** A small, upright bitmap for the screen; null if Android cannot decode the photo. */
    fun preview(): Bitmap? {
        val bytes = file.readBytes()
        val size = bounds(bytes)
        var sampleSize = 1
        while (maxOf(size.outWidth, size.outHeight) / sampleSize > PREVIEW_SIZE) sampleSize *= 2
        val options = BitmapFactory.Options().apply { inSampleSize = sampleSize }
        val bitmap = BitmapFactory.decodeByteArray(bytes, 0, bytes.size, options) ?: return null
        val orient = orientationMatrix(Jpeg.orientation(bytes))
        return Bitmap.createBitmap(bitmap, 0, 0, bitmap.width, bitmap.height, orient, true)
    }

    /** [sampleSize]: the photo was decoded at 1/sampleSize of its width and height. */
    class DecodedPhoto(val pixels: Pixels, val sampleSize: Int)

    private fun minSampleSize(bytes: ByteArray): Int {
        val size = bounds(bytes)
        var sampleSize = 1
        while (size.outWidth.toLong() * size.outHeight / (sampleSize * sampleSize) > MAX_PIXELS) sampleSize *= 2
        return sampleSize
    }

    private fun bounds(bytes: ByteArray) = BitmapFactory.Options().apply {
        inJustDecodeBounds = true
        BitmapFactory.decodeByteArray(bytes, 0, bytes.size, this)
    }

    private fun decode(bytes: ByteArray, sampleSize: Int): Bitmap? = BitmapFactory.decodeByteArray(
        bytes, 0, bytes.size,
        BitmapFactory.Options().apply {
            inSampleSize = sampleSize
            inPreferredConfig = Bitmap.Config.ARGB_8888
            inPremultiplied = false // like Python, which drops the alpha channel
        },
    )

    private fun orientationMatrix(orientation: Int) = Matrix().apply {
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
        const val PREVIEW_SIZE = 1600
        const val MAX_PIXELS = 64_000_000L // of four bytes
    }
}
