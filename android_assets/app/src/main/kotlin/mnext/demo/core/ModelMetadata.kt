package mnext.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32

/** The metadata in a .tflite file: labels and preprocessing. */
data class ModelMetadata(val labels: List<String>, val preprocess: Preprocess) {
    companion object {
        /**
         * Reads `labels.txt` and `preprocess.json` from the ZIP that the exporter appends to a model.
         *
         * [file] is the entire file; its position does not change. Throws [InvalidFileException] if the metadata is
         * missing or corrupt.
         */
        fun read(file: ByteBuffer): ModelMetadata {
            val entries = AppendedZip(file)
            val labels = String(entries.read("labels.txt"), Charsets.UTF_8).removeSuffix("\n")
            return ModelMetadata(
                labels.split('\n').map { it.removeSuffix("\r") },
                Preprocess.parse(String(entries.read("preprocess.json"), Charsets.UTF_8)),
            )
        }
    }
}

/** The ZIP archive at the end of [file]. Entries must be stored, not compressed. */
private class AppendedZip(file: ByteBuffer) {
    private class Entry(val method: Int, val crc: Long, val size: Long, val packed: Long, val offset: Long)

    private val bytes: ByteBuffer = file.duplicate().order(ByteOrder.LITTLE_ENDIAN).apply { rewindCompat() }
    private val size = bytes.limit().toLong()
    private val entries = HashMap<String, Entry>()

    init {
        val end = findEnd()
        val count = u16(end + 10)
        val length = u32(end + 12)
        // offsets may be relative to the start of the file or of the archive
        val shift = end - length - u32(end + 16)
        var at = end - length
        if (shift < 0 || at < 0) corrupt("its central directory is out of bounds")
        repeat(count) {
            if (u32(at) != DIRECTORY) corrupt("its central directory is truncated")
            val name = text(at + 46, u16(at + 28))
            entries[name] = Entry(u16(at + 10), u32(at + 16), u32(at + 24), u32(at + 20), u32(at + 42) + shift)
            at += 46 + u16(at + 28) + u16(at + 30) + u16(at + 32)
        }
    }

    fun read(name: String): ByteArray {
        val entry = entries[name] ?: throw InvalidFileException("the model contains no $name; export it again")
        if (entry.method != 0 || entry.size != entry.packed)
            throw InvalidFileException("$name in the model is compressed; it must be stored")
        if (u32(entry.offset) != LOCAL) corrupt("$name has no local header")
        val begin = entry.offset + 30 + u16(entry.offset + 26) + u16(entry.offset + 28)
        val content = part(begin, entry.size)
        if (CRC32().apply { update(content) }.value != entry.crc) corrupt("$name has a wrong checksum")
        return content
    }

    private fun findEnd(): Long {
        for (at in size - 22 downTo maxOf(0L, size - 22 - 0xFFFF))
            if (u32(at) == END && at + 22 + u16(at + 20) == size) return at
        throw InvalidFileException("the model contains no metadata (no ZIP archive at its end); export it again")
    }

    private fun u16(at: Long): Int = bytes.getShort(index(at, 2)).toInt() and 0xFFFF

    private fun u32(at: Long): Long = bytes.getInt(index(at, 4)).toLong() and 0xFFFFFFFFL

    private fun text(at: Long, length: Int) = String(part(at, length.toLong()), Charsets.UTF_8)

    private fun part(at: Long, length: Long): ByteArray {
        val view = bytes.duplicate()
        view.seek(index(at, length))
        return ByteArray(length.toInt()).also { view.get(it) }
    }

    private fun index(at: Long, length: Long): Int {
        if (at < 0 || at + length > size) corrupt("it is truncated")
        return at.toInt()
    }

    private fun corrupt(what: String): Nothing =
        throw InvalidFileException("the ZIP archive in the model is corrupt: $what")

    private companion object {
        const val END = 0x06054B50L
        const val DIRECTORY = 0x02014B50L
        const val LOCAL = 0x04034B50L
    }
}
