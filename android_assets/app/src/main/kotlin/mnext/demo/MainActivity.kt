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
 * Picks or takes a photo and shows what the model finds in it. The photo and the choices are stored, so they survive
 * process death.
 */
class MainActivity : Activity() {
    private lateinit var photo: Photo
    private lateinit var image: ImageView
    private lateinit var settings: Settings
    private lateinit var status: TextView
    private lateinit var results: TextView
    private lateinit var times: TextView
    private lateinit var busy: View
    @Volatile private var lastRequest = 0 // earlier requests are dropped

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.activity_main)
        photo = Photo(applicationContext)
        settings = Settings(this)
        image = view(R.id.photo)
        status = view(R.id.status)
        results = view(R.id.results)
        times = view(R.id.times)
        busy = view(R.id.busy)
        view<View>(R.id.pick).setOnClickListener { pickPhoto() }
        view<View>(R.id.camera).setOnClickListener { takePhoto() }
        view<View>(R.id.check).setOnClickListener { startActivity(Intent(this, CheckActivity::class.java)) }
        showChoices()
        predict()
    }

    private fun showChoices() {
        val assets = ModelAssets(assets)
        val models = assets.names()
        if (settings.model !in models) settings.model = models.firstOrNull().orEmpty()
        view<Spinner>(R.id.model).setChoices(models, assets::title, settings.model) {
            settings.model = it
            predict()
        }
        val processor = { gpu: Boolean -> getString(if (gpu) R.string.gpu else R.string.cpu) }
        view<Spinner>(R.id.processor).setChoices(listOf(false, true), processor, settings.gpu) {
            settings.gpu = it
            predict()
        }
        view<Spinner>(R.id.threads).setChoices(Settings.threadChoices, { "$it" }, settings.threads) {
            settings.threads = it
            predict()
        }
    }

    /** Loads the preview and runs the model on the worker thread, then shows the result. */
    private fun predict() {
        val request = ++lastRequest
        results.text = ""
        times.text = ""
        image.foreground = null
        val (model, gpu, threads) = Triple(settings.model, settings.gpu, settings.threads)
        status.text = when {
            model.isEmpty() -> getString(R.string.no_models)
            !photo.exists() -> getString(R.string.no_photo)
            else -> getString(R.string.working)
        }
        busy.visibility = if (photo.exists()) View.VISIBLE else View.GONE
        val context = applicationContext
        // Checked again on the worker, which may first finish saving a photo for an earlier instance of this activity.
        Worker.run({ if (request == lastRequest && photo.exists()) photo.preview() else null }) {
            if (request == lastRequest) show(it.getOrNull())
        }
        Worker.run({
            val current = request == lastRequest && model.isNotEmpty() && photo.exists()
            if (current) ModelCache.predict(context, photo, model, gpu, threads) else null
        }) { result ->
            if (request == lastRequest) {
                busy.visibility = View.GONE
                result.fold({ if (it != null) show(it) }) { status.text = getString(R.string.failed, it.text(this)) }
            }
        }
    }

    private fun show(preview: Bitmap?) {
        image.setImageBitmap(preview)
        val description = if (preview == null) R.string.no_photo_description else R.string.photo_description
        image.contentDescription = getString(description)
    }

    private fun show(prediction: Prediction) {
        val lines = ArrayList<String>()
        prediction.backend.fallback?.let { lines += getString(R.string.gpu_fallback, it.text(this)) }
        if (prediction.sampleSize > 1) lines += getString(R.string.downsampled, prediction.sampleSize)
        lines += getString(R.string.ran_on, prediction.backend.text(this))
        status.text = lines.joinToString("\n")
        results.text = prediction.found.joinToString("\n") {
            String.format(Locale.getDefault(), "%5.1f %%  %s", it.score * 100, it.name)
        }
        if (prediction.found.isEmpty()) results.text = getString(R.string.no_objects, (Detector.SHOWN * 100).toInt())
        image.foreground = BoxOverlay(image, prediction.found) {
            String.format(Locale.getDefault(), "%s %.0f %%", it.name, it.score * 100)
        }
        val timing = prediction.timing
        times.text = getString(
            R.string.times, timing.median.short(), timing.count, timing.single.short(),
            prediction.decodeTime.short(), prediction.preprocessTime.short(),
        )
    }

    private fun pickPhoto() {
        val intent = Intent(Intent.ACTION_OPEN_DOCUMENT).addCategory(Intent.CATEGORY_OPENABLE).setType("image/*")
        startActivityOr(intent, PICK, R.string.no_picker)
    }

    private fun takePhoto() {
        val target = CameraProvider.target(this)
        CameraProvider.file(this).delete()
        val intent = Intent(MediaStore.ACTION_IMAGE_CAPTURE).putExtra(MediaStore.EXTRA_OUTPUT, target)
        intent.clipData = ClipData.newRawUri("", target)
        intent.addFlags(Intent.FLAG_GRANT_WRITE_URI_PERMISSION or Intent.FLAG_GRANT_READ_URI_PERMISSION)
        startActivityOr(intent, CAMERA, R.string.no_camera)
    }

    private fun startActivityOr(intent: Intent, request: Int, otherwise: Int) {
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
                request == CAMERA -> photo.save(CameraProvider.file(applicationContext))
                chosen != null -> { photo.save(chosen); true }
                else -> false
            }
        }) { saved ->
            if (isDestroyed) return@run
            busy.visibility = View.GONE
            val reason = saved.exceptionOrNull()?.text(this) ?: getString(R.string.no_reason)
            if (saved.getOrDefault(false)) predict() else status.text = getString(R.string.no_file, reason)
        }
    }

    override fun onDestroy() {
        lastRequest++
        super.onDestroy()
    }

    private companion object {
        const val PICK = 1
        const val CAMERA = 2
    }
}
