package mnext.demo

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.widget.TextView

/** Shows the results of [SelfCheck] as they arrive. */
class CheckActivity : Activity() {
    private val update = ::show

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.activity_check)
        view<View>(R.id.again).setOnClickListener { start() }
        if (SelfCheck.results.isEmpty()) start()
    }

    override fun onStart() {
        super.onStart()
        SelfCheck.listener = update
        show()
    }

    override fun onStop() {
        if (SelfCheck.listener == update) SelfCheck.listener = null // unless the next instance has already started
        super.onStop()
    }

    private fun start() {
        SelfCheck.start(this, Settings(this).threads)
        show()
    }

    private fun show() {
        val running = SelfCheck.running
        view<View>(R.id.busy).visibility = if (running) View.VISIBLE else View.GONE
        view<View>(R.id.again).isEnabled = !running
        val results = SelfCheck.results
        view<TextView>(R.id.summary).text = when {
            running -> getString(R.string.check_running)
            results.isEmpty() -> getString(R.string.no_models)
            else -> getString(
                R.string.check_summary,
                results.count { it.verdict == SelfCheck.Verdict.PASS },
                results.count { it.verdict == SelfCheck.Verdict.FAIL },
                results.count { it.verdict == SelfCheck.Verdict.NOT_RUN },
            )
        }
        view<TextView>(R.id.check_results).text = results.joinToString("\n\n") { it.text() }
    }

    private fun SelfCheck.CheckResult.text(): String {
        val context = this@CheckActivity
        val processor = getString(if (gpu) R.string.gpu else R.string.cpu)
        val verdict = when (verdict) {
            SelfCheck.Verdict.PASS -> R.string.check_pass
            SelfCheck.Verdict.FAIL -> R.string.check_fail
            SelfCheck.Verdict.NOT_RUN -> R.string.check_not_run
        }
        val lines = arrayListOf(getString(R.string.check_result, getString(verdict), title, processor))
        comparison?.let { lines += it.text(context) }
        backend?.let { lines += it.fallback?.text(context) ?: getString(R.string.ran_on, it.text(context)) }
        error?.let { lines += it }
        return lines.joinToString("\n")
    }
}
