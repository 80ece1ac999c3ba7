package mnext.demo

import android.app.Activity
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner

/** findViewById with a type; going through View compiles against every API level. */
@Suppress("UNCHECKED_CAST")
fun <T : View> Activity.view(id: Int): T {
    val found: View = findViewById(id)
    return found as T
}

/** Shows [choices] with [current] selected; [onSelected] is called only when the selection changes. */
fun <T> Spinner.setChoices(choices: List<T>, title: (T) -> String, current: T, onSelected: (T) -> Unit) {
    val titles = ArrayAdapter(context, android.R.layout.simple_spinner_item, choices.map(title))
    titles.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
    adapter = titles
    setSelection(choices.indexOf(current).coerceAtLeast(0))
    isEnabled = choices.size > 1
    var last = current
    onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
        override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
            val choice = choices[position]
            if (choice != last) {
                last = choice
                onSelected(choice)
            }
        }

        override fun onNothingSelected(parent: AdapterView<*>?) = Unit
    }
}
