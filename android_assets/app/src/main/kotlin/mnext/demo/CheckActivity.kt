package mnext.demo

import android.app.Activity
import android.os.Bundle
import android.view.View
import android.widget.TextView

/** Shows what [SelfCheck] finds, as it finds it. */
class CheckActivity : Activity() {
    private val update = ::show

    override fun onCreate(state: Bundle?) {
        super.onCreate(state)
        setContentView(R.layout.activity_check)
        part<View>(R.id.again).setOnClickListener { start() }
        if (SelfCheck.findings.isEmpty()) start()
    }

    override fun onStart() {
        super.onStart()
        SelfCheck.listener = update
        show()
    }

    override fun onStop() {
        if (SelfCheck.listener == update) SelfCheck.listener = null // else the next such screen has started already
        super.onStop()
    }

    private fun start() {
        SelfCheck.start(this, Settings(this).threads)
        show()
    }

    private fun show() {
        val running = SelfCheck.running
        part<View>(R.id.busy).visibility = if (running) View.VISIBLE else View.GONE
        part<View>(R.id.again).isEnabled = !running
        val findings = SelfCheck.findings
        part<TextView>(R.id.summary).text = when {
            running -> getString(R.string.check_running)
            findings.isEmpty() -> getString(R.string.no_models)
            else -> getString(
                R.string.check_summary,
                findings.count { it.verdict == SelfCheck.Verdict.PASS },
                findings.count { it.verdict == SelfCheck.Verdict.FAIL },
                findings.count { it.verdict == SelfCheck.Verdict.NOT_RUN },
            )
        }
        part<TextView>(R.id.findings).text = findings.joinToString("\n\n") { it.text() }
    }

    private fun SelfCheck.Finding.text(): String {
        val asked = getString(if (gpu) R.string.gpu else R.string.cpu)
        val verdict = when (verdict) {
            SelfCheck.Verdict.PASS -> R.string.check_pass
            SelfCheck.Verdict.FAIL -> R.string.check_fail
            SelfCheck.Verdict.NOT_RUN -> R.string.check_not_run
        }
        val lines = arrayListOf(getString(R.string.check_finding, getString(verdict), title, asked))
        difference?.let { lines += getString(R.string.check_difference, it, tolerance) }
        device?.let { lines += it.refusal?.text(this@CheckActivity) ?: getString(R.string.ran_on, it.text(this@CheckActivity)) }
        note?.let { lines += it }
        return lines.joinToString("\n")
    }
}
