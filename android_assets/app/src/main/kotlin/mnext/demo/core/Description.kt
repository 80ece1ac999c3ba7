package mnext.demo.core

/** NAME.json beside a model in the assets: what it is called, what its file must be, and a case it must solve. */
class Description(
    val name: String,
    val title: String,
    val file: String,
    val bytes: Long,
    val sha256: String,
    val golden: Golden,
) {
    /** [input] names a file of 8-bit RGB pixels at the network's size; [output] is what Python's kernels gave. */
    class Golden(val input: String, val output: FloatArray, val tolerance: Float, val gpuTolerance: Float)

    companion object {
        private const val FORMAT = 1.0

        /** Throws [BadFile] where [text] is not such a description; [source] is its file name, for the message. */
        fun parse(text: String, source: String): Description {
            val record = Json.parse(text).asObject(source)
            val format = record.number("format")
            if (format != FORMAT) throw BadFile("$source: format is $format, and this app knows $FORMAT; update the app")
            val golden = record.child("golden")
            return Description(
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
