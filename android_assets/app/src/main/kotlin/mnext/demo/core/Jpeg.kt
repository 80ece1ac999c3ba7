package mnext.demo.core

/** Metadata of JPEG files. Files of other formats and corrupt files have none. */
object Jpeg {
    private const val EXIF = "Exif\u0000\u0000"
    private const val XMP = "http://ns.adobe.com/xap/1.0/\u0000"
    private const val ICC = "ICC_PROFILE\u0000"
    private const val ORIENTATION = 0x0112
    private val XMP_ORIENTATION = Regex("tiff:Orientation(?:=\"|>)([0-9])")

    /** The orientation, 1 to 8, from EXIF or otherwise from XMP; 1 (upright) if it is missing or out of range. */
    fun orientation(file: ByteArray): Int {
        var exif: Int? = null
        var xmp: Int? = null
        segments(file) { marker, begin, end ->
            if (marker == 0xE1 && exif == null && file.startsWith(EXIF, begin, end))
                exif = exifOrientation(Bytes(file, begin + EXIF.length, end))
            if (marker == 0xE1 && xmp == null && file.startsWith(XMP, begin, end))
                xmp = XMP_ORIENTATION.find(String(file, begin, end - begin, Charsets.ISO_8859_1))
                    ?.groupValues?.get(1)?.toInt()
        }
        return (exif ?: xmp ?: 1).let { if (it in 1..8) it else 1 }
    }

    /**
     * The file without its ICC profile. Android would use the profile to convert colors to sRGB; training and
     * evaluation ignore it.
     */
    fun withoutProfile(file: ByteArray): ByteArray {
        val kept = java.io.ByteArrayOutputStream(file.size)
        var from = 0
        segments(file) { marker, begin, end ->
            if (marker == 0xE2 && file.startsWith(ICC, begin, end)) {
                kept.write(file, from, begin - 4 - from)
                from = end
            }
        }
        if (from == 0) return file
        kept.write(file, from, file.size - from)
        return kept.toByteArray()
    }

    private fun exifOrientation(tiff: Bytes): Int? {
        tiff.bigEndian = when (tiff.u16(0)) {
            0x4949 -> false
            0x4D4D -> true
            else -> return null
        }
        val directory = tiff.u32(4) ?: return null
        for (i in 0 until (tiff.u16(directory) ?: return null)) {
            val entry = directory + 2 + 12L * i
            if (tiff.u16(entry) != ORIENTATION) continue
            return when (tiff.u16(entry + 2)) {
                1 -> tiff.u8(entry + 8)
                3 -> tiff.u16(entry + 8)
                4 -> tiff.u32(entry + 8)?.coerceAtMost(9)?.toInt()
                else -> null
            }
        }
        return null
    }

    /** Calls [visit] with the marker, payload begin, and payload end of each segment before the image data. */
    private inline fun segments(file: ByteArray, visit: (Int, Int, Int) -> Unit) {
        val bytes = Bytes(file, 0, file.size)
        if (bytes.u16(0) != 0xFFD8) return
        var at = 2
        while (bytes.u8(at.toLong()) == 0xFF) {
            val marker = bytes.u8(at + 1L) ?: return
            when (marker) {
                0xFF -> at += 1 // a fill byte
                0x01, in 0xD0..0xD7 -> at += 2 // markers without a payload
                0xD9, 0xDA -> return // end of image, start of scan
                else -> {
                    val end = at + 2 + (bytes.u16(at + 2L) ?: return)
                    if (end < at + 4 || end > file.size) return
                    visit(marker, at + 4, end)
                    at = end
                }
            }
        }
    }

    private fun ByteArray.startsWith(text: String, begin: Int, end: Int) =
        end - begin >= text.length && text.indices.all { this[begin + it] == text[it].code.toByte() }

    /** Reads integers from [file] between [begin] and [end]; null out of bounds. */
    private class Bytes(private val file: ByteArray, private val begin: Int, private val end: Int) {
        var bigEndian = true

        fun u8(at: Long): Int? = if (at in 0 until (end - begin).toLong()) file[begin + at.toInt()].toInt() and 0xFF else null

        fun u16(at: Long): Int? {
            val a = u8(at) ?: return null
            val b = u8(at + 1) ?: return null
            return if (bigEndian) a shl 8 or b else b shl 8 or a
        }

        fun u32(at: Long): Long? {
            val a = u16(at)?.toLong() ?: return null
            val b = u16(at + 2)?.toLong() ?: return null
            return if (bigEndian) a shl 16 or b else b shl 16 or a
        }
    }
}
