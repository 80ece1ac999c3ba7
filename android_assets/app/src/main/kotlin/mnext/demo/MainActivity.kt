package mnext.demo

import android.app.Activity
import android.content.ActivityNotFoundException
import android.content.ClipData
import android.content.Intent
import android.graphics.Bitmap
import android.os.Bundle
import android.provider.MediaStore
import android.view.View
import android.widget.ImageView
import android.widget.Spinner
import android.widget.TextView
import java.util.Locale

/**
 * Picks or takes a picture and shows what a network sees in it. The picture is a file and the choices are settings,
 * so whatever ends this screen, the next one begins where it was.
 */
class MainActivity : Activity() {
    private lateinit var photo: Photo
    private lateinit var settings: Settings
    private lateinit var status: TextView
    private lateinit var results: TextView
    private lateinit var times: TextView
    private lateinit var busy: View
    @Volatile private var asked = 0 // older questions are not worked on any more, nor their answers shown

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.activity_main)
        photo = Photo(applicationContext)
        settings = Settings(this)
        status = part(R.id.status)
        results = part(R.id.results)
        times = part(R.id.times)
        busy = part(R.id.busy)
        part<View>(R.id.pick).setOnClickListener { pick() }
        part<View>(R.id.camera).setOnClickListener { takePicture() }
        part<View>(R.id.check).setOnClickListener { startActivity(Intent(this, CheckActivity::class.java)) }
        showChoices()
        look()
    }

    private fun showChoices() {
        val assets = ModelAssets(assets)
        val models = assets.names()
        if (settings.model !in models) settings.model = models.firstOrNull().orEmpty()
        part<Spinner>(R.id.model).offer(models, assets::title, settings.model) {
            settings.model = it
            look()
        }
        val processor = { gpu: Boolean -> getString(if (gpu) R.string.gpu else R.string.cpu) }
        part<Spinner>(R.id.processor).offer(listOf(false, true), processor, settings.gpu) {
            settings.gpu = it
            look()
        }
        part<Spinner>(R.id.threads).offer(Settings.threadChoices, { "$it" }, settings.threads) {
            settings.threads = it
            look()
        }
    }

    /** Runs the chosen network on the picture, both off this thread, and shows the answer. */
    private fun look() {
        val question = ++asked
        results.text = ""
        times.text = ""
        val (model, gpu, threads) = Triple(settings.model, settings.gpu, settings.threads)
        status.text = when {
            model.isEmpty() -> getString(R.string.no_models)
            !photo.exists() -> getString(R.string.no_picture)
            else -> getString(R.string.working)
        }
        busy.visibility = if (photo.exists()) View.VISIBLE else View.GONE
        val context = applicationContext
        // A photo may be on its way still, asked for by the screen before this one: the worker does that first.
        Worker.run({ if (question == asked && photo.exists()) photo.preview() else null }) {
            if (question == asked) show(it.getOrNull())
        }
        Worker.run({
            val wanted = question == asked && model.isNotEmpty() && photo.exists()
            if (wanted) Session.answer(context, photo, model, gpu, threads) else null
        }) { result ->
            if (question == asked) {
                busy.visibility = View.GONE
                result.fold({ if (it != null) show(it) }) { status.text = getString(R.string.failed, it.text(this)) }
            }
        }
    }

    private fun show(preview: Bitmap?) {
        val picture: ImageView = part(R.id.picture)
        picture.setImageBitmap(preview)
        picture.contentDescription = getString(if (preview == null) R.string.picture_none else R.string.picture)
    }

    private fun show(answer: Answer) {
        val lines = ArrayList<String>()
        answer.device.refusal?.let { lines += getString(R.string.gpu_refused, it.text(this)) }
        if (answer.reduced > 1) lines += getString(R.string.reduced, answer.reduced)
        lines += getString(R.string.ran_on, answer.device.text(this))
        status.text = lines.joinToString("\n")
        results.text = answer.best.joinToString("\n") { (label, probability) ->
            String.format(Locale.getDefault(), "%5.1f %%  %s", probability * 100, label)
        }
        val timing = answer.timing
        times.text = getString(
            R.string.times, timing.median.short(), timing.count, timing.single.short(),
            answer.reading.short(), answer.preparing.short(),
        )
    }

    private fun pick() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        startOr(intent, PICK, R.string.no_picker)
    }

    private fun takePicture() {
        val target = CameraProvider.target(this)
        CameraProvider.file(this).delete()
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, target)
        intent.clipData = ClipData.newRawUri("", target)
        intent.addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startOr(intent, CAMERA, R.string.no_camera)
    }

    private fun startOr(intent: Intent, request: Int, otherwise: Int) {
        try {
            startActivityForResult(intent, request)
        } catch (_: ActivityNotFoundException) {
            status.setText(otherwise)
        }
    }

    override fun onActivityResult(request: Int, result: Int, data: Intent?) {
        super.onActivityResult(request, result, data)
        if (result != RESULT_OK) return
        val chosen = data?.data
        busy.visibility = View.VISIBLE
        Worker.run({
            when {
                request == CAMERA -> photo.keep(CameraProvider.file(applicationContext))
                chosen != null -> { photo.keep(chosen); true }
                else -> false
            }
        }) { kept ->
            if (isDestroyed) return@run
            busy.visibility = View.GONE
            if (kept.getOrDefault(false)) look()
            else status.text = getString(R.string.no_file, kept.exceptionOrNull()?.text(this) ?: getString(R.string.no_reason))
        }
    }

    override fun onDestroy() {
        asked++
        super.onDestroy()
    }

    private companion object {
        const val PICK = 1
        const val CAMERA = 2
    }
}
