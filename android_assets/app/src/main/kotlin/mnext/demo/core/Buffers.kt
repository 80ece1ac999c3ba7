package mnext.demo.core

import java.nio.Buffer

// ByteBuffer declares these anew in later versions, with another type of result, and what is compiled against those
// does not find them on an older Android. Called on a Buffer, they are the old ones.

internal fun Buffer.toPlace(place: Int) {
    position(place)
}

/** Back to the beginning. */
fun Buffer.toBegin() {
    rewind()
}
