package mnext.demo

import android.graphics.Canvas
import android.graphics.ColorFilter
import android.graphics.Paint
import android.graphics.PixelFormat
import android.graphics.RectF
import android.graphics.drawable.Drawable
import android.util.TypedValue
import android.widget.ImageView
import mnext.demo.core.BoxDrawing
import mnext.demo.core.Frame

/** The foreground of [image]: the boxes in [found], best on top, with labels that are as large as other text. */
class BoxOverlay(private val image: ImageView, found: List<Found>, private val label: (Found) -> String) : Drawable() {
    private val boxes = found.mapNotNull { each -> each.box?.let { each to it } }
    private val line = Paint(Paint.ANTI_ALIAS_FLAG).apply { style = Paint.Style.STROKE }
    private val fill = Paint()
    private val text = Paint(Paint.ANTI_ALIAS_FLAG).apply {
        textSize = TypedValue.applyDimension(TypedValue.COMPLEX_UNIT_SP, 14f, image.resources.displayMetrics)
    }
    private val dp = image.resources.displayMetrics.density

    override fun draw(canvas: Canvas) {
        val photo = photo() ?: return
        val frames = boxes.map { (_, box) -> BoxDrawing.place(box, photo) }
        for ((frame, found) in frames.zip(boxes).asReversed()) {
            stroke(canvas, frame, BoxDrawing.BLACK, 5 * dp) // seen on every ground
            stroke(canvas, frame, BoxDrawing.color(found.first.label), 3 * dp)
        }
        val area = Frame(0f, 0f, bounds.width().toFloat(), bounds.height().toFloat())
        val taken = ArrayList<Frame>()
        for ((frame, found) in frames.zip(boxes)) taken += write(canvas, frame, found.first, area, taken)
    }

    /** Where the photo is in the view; null without one. */
    private fun photo(): Frame? {
        val drawable = image.drawable ?: return null
        val whole = RectF(0f, 0f, drawable.intrinsicWidth.toFloat(), drawable.intrinsicHeight.toFloat())
        image.imageMatrix.mapRect(whole)
        whole.offset(image.paddingLeft.toFloat(), image.paddingTop.toFloat())
        return Frame(whole.left, whole.top, whole.right, whole.bottom)
    }

    private fun stroke(canvas: Canvas, frame: Frame, color: Int, width: Float) {
        line.color = color
        line.strokeWidth = width
        canvas.drawRect(frame.left, frame.top, frame.right, frame.bottom, line)
    }

    /** Returns the label's place. */
    private fun write(canvas: Canvas, frame: Frame, found: Found, area: Frame, taken: List<Frame>): Frame {
        val written = label(found)
        val metrics = text.fontMetrics
        val width = text.measureText(written) + 6 * dp
        val place = BoxDrawing.placeLabel(frame, width, metrics.descent - metrics.ascent, area, taken)
        fill.color = BoxDrawing.color(found.label)
        text.color = BoxDrawing.textColor(fill.color)
        canvas.drawRect(place.left, place.top, place.right, place.bottom, fill)
        canvas.drawText(written, place.left + 3 * dp, place.top - metrics.ascent, text)
        return place
    }

    override fun setAlpha(alpha: Int) = Unit

    override fun setColorFilter(filter: ColorFilter?) = Unit

    @Deprecated("Android does not call it any more", ReplaceWith("PixelFormat.TRANSLUCENT"))
    override fun getOpacity(): Int = PixelFormat.TRANSLUCENT
}
