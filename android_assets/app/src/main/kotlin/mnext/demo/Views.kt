package mnext.demo

import android.app.Activity
import android.view.View
import android.widget.AdapterView
import android.widget.ArrayAdapter
import android.widget.Spinner

/** The view of this id. The detour over View compiles against every API level's findViewById. */
@Suppress("UNCHECKED_CAST")
fun <T : View> Activity.part(id: Int): T {
    val found: View = findViewById(id)
    return found as T
}

/** Offers [choices] under their titles; [chosen] hears of another choice than [now] or the one before. */
fun <T> Spinner.offer(choices: List<T>, title: (T) -> String, now: T, chosen: (T) -> Unit) {
    val titles = ArrayAdapter(context, android.R.layout.simple_spinner_item, choices.map(title))
    titles.setDropDownViewResource(android.R.layout.simple_spinner_dropdown_item)
    adapter = titles
    setSelection(choices.indexOf(now).coerceAtLeast(0))
    isEnabled = choices.size > 1
    var last = now
    onItemSelectedListener = object : AdapterView.OnItemSelectedListener {
        override fun onItemSelected(parent: AdapterView<*>?, view: View?, position: Int, id: Long) {
            val choice = choices[position]
            if (choice != last) {
                last = choice
                chosen(choice)
            }
        }

        override fun onNothingSelected(parent: AdapterView<*>?) = Unit
    }
}
