package mnext.demo

import android.content.res.AssetManager
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.security.MessageDigest
import mnext.demo.core.InvalidFileException
import mnext.demo.core.ModelInfo

/** The models in the app's assets; each has a NAME.json. */
class ModelAssets(private val assets: AssetManager) {

    /** The names of the models in alphabetical order; empty if none was exported. */
    fun names(): List<String> =
        assets.list("").orEmpty().filter { it.endsWith(JSON) }.map { it.removeSuffix(JSON) }.sorted()

    /** Throws [InvalidFileException]. */
    fun info(name: String): ModelInfo =
        ModelInfo.parse(String(bytes(name + JSON), Charsets.UTF_8), name + JSON)

    /** The title of a model, or its name if its NAME.json is invalid. */
    fun title(name: String): String = try {
        info(name).title
    } catch (_: InvalidFileException) {
        name
    }

    /** Memory-maps a file, which must be uncompressed in the APK. Throws [InvalidFileException]. */
    fun map(file: String): ByteBuffer = try {
        assets.openFd(file).use { descriptor ->
            FileInputStream(descriptor.fileDescriptor).use {
                it.channel.map(FileChannel.MapMode.READ_ONLY, descriptor.startOffset, descriptor.declaredLength)
            }
        }
    } catch (_: FileNotFoundException) {
        throw InvalidFileException("$file is missing from the assets or compressed (androidResources.noCompress)")
    }

    /** Throws [InvalidFileException]. */
    fun bytes(file: String): ByteArray = try {
        assets.open(file).use { it.readBytes() }
    } catch (_: FileNotFoundException) {
        throw InvalidFileException("$file is missing from the assets")
    }

    /** In hexadecimal. */
    fun sha256(file: ByteBuffer): String {
        val digest = MessageDigest.getInstance("SHA-256")
        digest.update(file.duplicate())
        return digest.digest().joinToString("") { "%02x".format(it) }
    }

    private companion object {
        const val JSON = ".json"
    }
}
