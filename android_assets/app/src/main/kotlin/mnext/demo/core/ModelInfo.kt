package mnext.demo.core

/** NAME.json of a model in the assets: its title, the size and hash of its file, and a golden test. */
class ModelInfo(
    val name: String,
    val title: String,
    val file: String,
    val bytes: Long,
    val sha256: String,
    val golden: Golden,
) {
    /** [input]: a file of 8-bit RGB pixels at the network's input size; [output]: Python's probabilities. */
    class Golden(val input: String, val output: FloatArray, val tolerance: Float, val gpuTolerance: Float)

    companion object {
        private const val FORMAT = 1.0

        /** [source] is the file name, for error messages. Throws [InvalidFileException]. */
        fun parse(text: String, source: String): ModelInfo {
            val record = Json.parse(text).asObject(source)
            val format = record.number("format")
            if (format != FORMAT)
                throw InvalidFileException("$source: format is $format; this app supports $FORMAT. Update the app")
            val golden = record.child("golden")
            return ModelInfo(
                record.string("name"),
                record.string("title"),
                record.string("file"),
                record.number("bytes").toLong(),
                record.string("sha256").lowercase(),
                Golden(
                    golden.string("input"),
                    golden.numbers("output"),
                    golden.number("tolerance").toFloat(),
                    golden.number("gpu_tolerance").toFloat(),
                ),
            )
        }
    }
}
