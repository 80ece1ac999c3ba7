package mnext.demo.core

import java.nio.Buffer

// Newer versions override these methods in ByteBuffer with another return type. Code compiled against those does not
// find them on older Android versions, so call the methods of Buffer.

internal fun Buffer.seek(position: Int) {
    position(position)
}

fun Buffer.rewindCompat() {
    rewind()
}
