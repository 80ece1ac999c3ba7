package mnext.demo.core

/** A file that is corrupt or not in the expected format; the message says why. */
class InvalidFileException(message: String) : Exception(message)

/** A JSON parser; values are Map, List, String, Double, Boolean, or null. org.json is missing on a desktop JVM. */
object Json {
    fun parse(text: String): Any? = Parser(text).document()

    private class Parser(private val text: String) {
        private var at = 0

        fun document(): Any? {
            val value = value(0)
            skipWhitespace()
            if (at < text.length) fail("unexpected text after the end")
            return value
        }

        private fun value(depth: Int): Any? {
            if (depth > 50) fail("nested too deeply")
            skipWhitespace()
            return when (peek()) {
                '{' -> members('}') {
                    val name = (value(depth + 1) as? String) ?: fail("expected a key in quotes")
                    skipWhitespace()
                    expect(':')
                    name to value(depth + 1)
                }.toMap()
                '[' -> members(']') { value(depth + 1) }
                '"' -> string()
                't' -> word("true", true)
                'f' -> word("false", false)
                'n' -> word("null", null)
                else -> number()
            }
        }

        private fun <T> members(end: Char, member: () -> T): List<T> {
            at++
            val found = ArrayList<T>()
            skipWhitespace()
            if (peek() == end) {
                at++
                return found
            }
            while (true) {
                found += member()
                skipWhitespace()
                if (peek() == end) {
                    at++
                    return found
                }
                expect(',')
            }
        }

        private fun string(): String {
            val out = StringBuilder()
            at++
            while (true) {
                when (val c = next()) {
                    '"' -> return out.toString()
                    '\\' -> out.append(escaped(next()))
                    else -> out.append(c)
                }
            }
        }

        private fun escaped(c: Char): Char = when (c) {
            'n' -> '\n'
            't' -> '\t'
            'r' -> '\r'
            'b' -> '\b'
            'f' -> '\u000C'
            '"', '\\', '/' -> c
            'u' -> {
                if (at + 4 > text.length) fail("unexpected end")
                at += 4
                text.substring(at - 4, at).toIntOrNull(16)?.toChar() ?: fail("invalid \\u escape")
            }
            else -> fail("invalid escape \\$c")
        }

        private fun number(): Double {
            val begin = at
            while (at < text.length && text[at] in "+-.0123456789eE") at++
            return text.substring(begin, at).toDoubleOrNull() ?: fail("expected a value")
        }

        private fun <T> word(word: String, value: T): T {
            if (!text.startsWith(word, at)) fail("expected a value")
            at += word.length
            return value
        }

        private fun skipWhitespace() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail("unexpected end")

        private fun next(): Char = peek().also { at++ }

        private fun expect(c: Char) {
            if (next() != c) fail("expected '$c'")
        }

        private fun fail(what: String): Nothing = throw InvalidFileException("invalid JSON: $what at character $at")
    }
}

/** An object in the JSON file named [file]. Missing or mistyped fields throw [InvalidFileException]. */
class JsonObject(private val file: String, private val fields: Map<*, *>) {
    fun number(name: String): Double = get(name, "a number")
    fun string(name: String): String = get(name, "a string")
    fun string(name: String, absent: String): String = if (name in fields) string(name) else absent
    fun child(name: String): JsonObject = JsonObject(file, get<Map<*, *>>(name, "an object"))
    fun children(name: String): List<JsonObject> =
        get<List<*>>(name, "a list").map { JsonObject(file, it as? Map<*, *> ?: wrong(name, "a list of objects")) }

    /** A list of numbers, of [count] if that is given. */
    fun numbers(name: String, count: Int? = null): FloatArray {
        val list = get<List<*>>(name, "a list")
        if (count != null && list.size != count) wrong(name, "a list of $count numbers")
        return FloatArray(list.size) { (list[it] as? Double ?: wrong(name, "a list of numbers")).toFloat() }
    }

    private inline fun <reified T> get(name: String, what: String): T = fields[name] as? T ?: wrong(name, what)

    private fun wrong(name: String, what: String): Nothing = throw InvalidFileException("$file: $name must be $what")
}

fun Any?.asObject(file: String): JsonObject =
    JsonObject(file, this as? Map<*, *> ?: throw InvalidFileException("$file: expected a JSON object"))
