package mnext.demo

import android.content.ContentProvider
import android.content.ContentValues
import android.content.Context
import android.database.Cursor
import android.net.Uri
import android.os.ParcelFileDescriptor
import java.io.File
import java.io.FileNotFoundException

/** Gives the camera app, and no other app, access to one file for its full-size photo. */
class CameraProvider : ContentProvider() {
    override fun onCreate() = true

    override fun openFile(uri: Uri, mode: String): ParcelFileDescriptor {
        val context = context ?: throw FileNotFoundException("$uri")
        if (uri != target(context)) throw FileNotFoundException("$uri")
        return ParcelFileDescriptor.open(file(context), ParcelFileDescriptor.parseMode(mode))
    }

    override fun getType(uri: Uri): String? = "image/jpeg"

    override fun query(
        uri: Uri, projection: Array<out String>?, selection: String?, selectionArgs: Array<out String>?, sortOrder: String?,
    ): Cursor? = null

    override fun insert(uri: Uri, values: ContentValues?): Uri? = null

    override fun update(uri: Uri, values: ContentValues?, selection: String?, selectionArgs: Array<out String>?) = 0

    override fun delete(uri: Uri, selection: String?, selectionArgs: Array<out String>?) = 0

    companion object {
        fun file(context: Context) = File(context.filesDir, "camera.jpg")

        fun target(context: Context): Uri = Uri.parse("content://${context.packageName}.camera/photo.jpg")
    }
}
