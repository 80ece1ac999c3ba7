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
    companion object {
        private const val CLASSIFIER = 1.0
        private const val DETECTOR = 2.0 // which the first version of this app refuses

        /** [source] is the file name, for error messages. Throws [InvalidFileException]. */
        fun parse(text: String, source: String): ModelInfo {
            val record = Json.parse(text).asObject(source)
            val format = record.number("format")
            val readGolden = when (format) {
                CLASSIFIER -> ::probabilities
                DETECTOR -> ::detections
                else -> throw InvalidFileException(
                    "$source: format is $format; this app supports $CLASSIFIER and $DETECTOR. Update the app"
                )
            }
            return ModelInfo(
                record.string("name"),
                record.string("title"),
                record.string("file"),
                record.number("bytes").toLong(),
                record.string("sha256").lowercase(),
                readGolden(record.child("golden")),
            )
        }

        private fun probabilities(golden: JsonObject): Golden = Golden.Probabilities(
            golden.string("input"),
            golden.numbers("output"),
            golden.number("tolerance").toFloat(),
            golden.number("gpu_tolerance").toFloat(),
        )

        private fun detections(golden: JsonObject): Golden = Golden.Detections(
            golden.string("input"),
            golden.children("detections").map {
                val (xMin, yMin, xMax, yMax) = it.numbers("box", 4)
                Detection(Box(xMin, yMin, xMax, yMax), it.number("class").toInt(), it.number("score").toFloat())
            },
            golden.number("above").toFloat(),
            golden.number("min_iou").toFloat(),
            golden.number("tolerance").toFloat(),
        )
    }
}
