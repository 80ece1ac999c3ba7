package mnext.demo

import android.content.res.AssetManager
import java.io.FileInputStream
import java.io.FileNotFoundException
import java.nio.ByteBuffer
import java.nio.channels.FileChannel
import java.security.MessageDigest
import mnext.demo.core.BadFile
import mnext.demo.core.Description

/** The models in the app's assets, each described by a NAME.json. */
class ModelAssets(private val assets: AssetManager) {

    /** Their names, in alphabetical order; empty where the exporter has not put any there. */
    fun names(): List<String> =
        assets.list("").orEmpty().filter { it.endsWith(JSON) }.map { it.removeSuffix(JSON) }.sorted()

    /** Throws [BadFile]. */
    fun description(name: String): Description =
        Description.parse(String(bytes(name + JSON), Charsets.UTF_8), name + JSON)

    /** What to show for a model; its name where the description cannot be read. */
    fun title(name: String): String = try {
        description(name).title
    } catch (_: BadFile) {
        name
    }

    /** A file mapped into memory, which works only where the APK holds it uncompressed. Throws [BadFile]. */
    fun map(file: String): ByteBuffer = try {
        assets.openFd(file).use { found ->
            FileInputStream(found.fileDescriptor).use {
                it.channel.map(FileChannel.MapMode.READ_ONLY, found.startOffset, found.declaredLength)
            }
        }
    } catch (_: FileNotFoundException) {
        throw BadFile("$file is not in the assets, or compressed there; androidResources.noCompress must name tflite")
    }

    /** Throws [BadFile]. */
    fun bytes(file: String): ByteArray = try {
        assets.open(file).use { it.readBytes() }
    } catch (_: FileNotFoundException) {
        throw BadFile("$file is not in the assets")
    }

    /** In hexadecimal digits. */
    fun sha256(file: ByteBuffer): String {
        val digest = MessageDigest.getInstance("SHA-256")
        digest.update(file.duplicate())
        return digest.digest().joinToString("") { "%02x".format(it) }
    }

    private companion object {
        const val JSON = ".json"
    }
}
