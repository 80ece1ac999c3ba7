// The Android plugin compiles Kotlin itself; there is no Kotlin plugin to name.
plugins {
    alias(libs.plugins.android.application) apply false
}
