package mnext.demo.core

import kotlin.math.pow

/** A rectangle on the screen, in pixels. */
data class Frame(val left: Float, val top: Float, val right: Float, val bottom: Float) {
    fun meets(other: Frame) = left < other.right && other.left < right && top < other.bottom && other.top < bottom
}

/** The geometry and colors of boxes over a photo, as in `mnext_tf/evaluation/detection/drawing.py`. */
object BoxDrawing {
    /** Okabe and Ito's colors, which people with any kind of color blindness tell apart; one a class, in turns. */
    private val COLORS = intArrayOf(0xE69F00, 0x56B4E9, 0x009E73, 0xF0E442, 0xCC79A7, 0x0072B2, 0xD55E00)
    private const val OPAQUE = 0xFF shl 24
    const val BLACK = OPAQUE
    const val WHITE = OPAQUE or 0xFFFFFF

    fun color(label: Int): Int = OPAQUE or COLORS[label % COLORS.size]

    /** Black or white: what has more contrast on [color]. */
    fun textColor(color: Int): Int {
        val luminance = 0.2126 * linear(color shr 16) + 0.7152 * linear(color shr 8) + 0.0722 * linear(color)
        return if ((luminance + 0.05) / 0.05 >= 1.05 / (luminance + 0.05)) BLACK else WHITE
    }

    /** Where [box] is on the screen if its image fills [photo]. */
    fun place(box: Box, photo: Frame): Frame {
        val width = photo.right - photo.left
        val height = photo.bottom - photo.top
        return Frame(
            photo.left + box.xMin * width, photo.top + box.yMin * height,
            photo.left + box.xMax * width, photo.top + box.yMax * height,
        )
    }

    /** Where the label of a box at [frame] goes: the first place inside [area] that meets none [taken]. */
    fun placeLabel(frame: Frame, width: Float, height: Float, area: Frame, taken: List<Frame>): Frame {
        val stacked = (1..taken.size).flatMap { listOf(frame.top + it * height, frame.top - (it + 1) * height) }
        val edges = listOf(frame.top - height, frame.top, frame.bottom, frame.bottom - height)
        val places = (edges + stacked).flatMap { y ->
            listOf(frame.left, frame.right - width).map { x ->
                val left = inside(x, area.left, area.right - width)
                val top = inside(y, area.top, area.bottom - height)
                Frame(left, top, left + width, top + height)
            }
        }
        return places.firstOrNull { place -> taken.none(place::meets) } ?: places.first()
    }

    private fun inside(at: Float, least: Float, most: Float) = minOf(at, most).coerceAtLeast(least)

    /** The lowest 8 bits, an sRGB channel, as light from 0 to 1. */
    private fun linear(channel: Int): Double {
        val value = (channel and 0xFF) / 255.0
        return if (value <= 0.04045) value / 12.92 else ((value + 0.055) / 1.055).pow(2.4)
    }
}
