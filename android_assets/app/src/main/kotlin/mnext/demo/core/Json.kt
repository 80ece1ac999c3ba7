package mnext.demo.core

/** A file that is damaged or not what it should be; the text says what is wrong. */
class BadFile(message: String) : Exception(message)

/** JSON as plain Kotlin: Map, List, String, Double, Boolean or null. Small, because a desktop JVM has no org.json. */
object Json {
    fun parse(text: String): Any? = Parser(text).whole()

    private class Parser(private val text: String) {
        private var at = 0

        fun whole(): Any? {
            val value = value(0)
            blanks()
            if (at < text.length) fail("something follows the end")
            return value
        }

        private fun value(depth: Int): Any? {
            if (depth > 50) fail("nested too deep")
            blanks()
            return when (peek()) {
                '{' -> members('}') {
                    val name = (value(depth + 1) as? String) ?: fail("a name in quotes is missing")
                    blanks()
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
            blanks()
            if (peek() == end) {
                at++
                return found
            }
            while (true) {
                found += member()
                blanks()
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
                if (at + 4 > text.length) fail("it ends too early")
                at += 4
                text.substring(at - 4, at).toIntOrNull(16)?.toChar() ?: fail("a wrong \\u")
            }
            else -> fail("a wrong escape \\$c")
        }

        private fun number(): Double {
            val begin = at
            while (at < text.length && text[at] in "+-.0123456789eE") at++
            return text.substring(begin, at).toDoubleOrNull() ?: fail("a value is missing")
        }

        private fun <T> word(word: String, value: T): T {
            if (!text.startsWith(word, at)) fail("a value is missing")
            at += word.length
            return value
        }

        private fun blanks() {
            while (at < text.length && text[at] in " \t\r\n") at++
        }

        private fun peek(): Char = if (at < text.length) text[at] else fail("it ends too early")

        private fun next(): Char = peek().also { at++ }

        private fun expect(c: Char) {
            if (next() != c) fail("'$c' is missing")
        }

        private fun fail(what: String): Nothing = throw BadFile("not JSON: $what, at character $at")
    }
}

/** An object of a JSON file whose name is [file]; what is missing from it is told as [BadFile]. */
class JsonObject(private val file: String, private val fields: Map<*, *>) {
    fun number(name: String): Double = get(name, "a number")
    fun string(name: String): String = get(name, "a text")
    fun child(name: String): JsonObject = JsonObject(file, get<Map<*, *>>(name, "an object"))
    fun numbers(name: String): FloatArray {
        val list = get<List<*>>(name, "a list")
        return FloatArray(list.size) { (list[it] as? Double ?: wrong(name, "a list of numbers")).toFloat() }
    }

    private inline fun <reified T> get(name: String, what: String): T = fields[name] as? T ?: wrong(name, what)

    private fun wrong(name: String, what: String): Nothing = throw BadFile("$file: $name must be $what")
}

fun Any?.asObject(file: String): JsonObject =
    JsonObject(file, this as? Map<*, *> ?: throw BadFile("$file: not a JSON object"))
