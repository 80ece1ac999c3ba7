package mnext.demo.core

import java.nio.ByteBuffer
import java.nio.ByteOrder
import java.util.zip.CRC32

/** What a .tflite file says of itself: its labels, and how pictures are prepared for it. */
data class ModelFile(val labels: List<String>, val preprocess: Preprocess) {
    companion object {
        /**
         * Reads `labels.txt` and `preprocess.json` from the ZIP that the exporter appends to a model.
         *
         * [file] is the whole file; its position is left alone. Throws [BadFile] where the model has none, or it is
         * damaged.
         */
        fun read(file: ByteBuffer): ModelFile {
            val entries = Appended(file)
            val labels = String(entries.read("labels.txt"), Charsets.UTF_8).removeSuffix("\n")
            return ModelFile(
                labels.split('\n').map { it.removeSuffix("\r") },
                Preprocess.parse(String(entries.read("preprocess.json"), Charsets.UTF_8)),
            )
        }
    }
}

/** A ZIP at the end of [file], found from its end as the format has it. Entries are stored, not compressed. */
private class Appended(file: ByteBuffer) {
    private class Entry(val method: Int, val crc: Long, val size: Long, val packed: Long, val offset: Long)

    private val bytes: ByteBuffer = file.duplicate().order(ByteOrder.LITTLE_ENDIAN).apply { toBegin() }
    private val size = bytes.limit().toLong()
    private val entries = HashMap<String, Entry>()

    init {
        val end = findEnd()
        val count = u16(end + 10)
        val length = u32(end + 12)
        // what stands before the ZIP may or may not be counted in its offsets
        val shift = end - length - u32(end + 16)
        var at = end - length
        if (shift < 0 || at < 0) damaged("its directory lies outside of it")
        repeat(count) {
            if (u32(at) != DIRECTORY) damaged("its directory is cut off")
            val name = text(at + 46, u16(at + 28))
            entries[name] = Entry(u16(at + 10), u32(at + 16), u32(at + 24), u32(at + 20), u32(at + 42) + shift)
            at += 46 + u16(at + 28) + u16(at + 30) + u16(at + 32)
        }
    }

    fun read(name: String): ByteArray {
        val entry = entries[name] ?: throw BadFile("the model carries no $name; export it again")
        if (entry.method != 0 || entry.size != entry.packed)
            throw BadFile("$name inside the model is compressed; it must be stored as it is")
        if (u32(entry.offset) != LOCAL) damaged("$name does not begin where it should")
        val begin = entry.offset + 30 + u16(entry.offset + 26) + u16(entry.offset + 28)
        val content = part(begin, entry.size)
        if (CRC32().apply { update(content) }.value != entry.crc) damaged("$name has another check sum")
        return content
    }

    private fun findEnd(): Long {
        for (at in size - 22 downTo maxOf(0L, size - 22 - 0xFFFF))
            if (u32(at) == END && at + 22 + u16(at + 20) == size) return at
        throw BadFile("the model carries no labels and no preprocessing (no ZIP at its end); export it again")
    }

    private fun u16(at: Long): Int = bytes.getShort(place(at, 2)).toInt() and 0xFFFF

    private fun u32(at: Long): Long = bytes.getInt(place(at, 4)).toLong() and 0xFFFFFFFFL

    private fun text(at: Long, length: Int) = String(part(at, length.toLong()), Charsets.UTF_8)

    private fun part(at: Long, length: Long): ByteArray {
        val view = bytes.duplicate()
        view.toPlace(place(at, length))
        return ByteArray(length.toInt()).also { view.get(it) }
    }

    private fun place(at: Long, length: Long): Int {
        if (at < 0 || at + length > size) damaged("it is cut off")
        return at.toInt()
    }

    private fun damaged(what: String): Nothing = throw BadFile("what is appended to the model is damaged: $what")

    private companion object {
        const val END = 0x06054B50L
        const val DIRECTORY = 0x02014B50L
        const val LOCAL = 0x04034B50L
    }
}
