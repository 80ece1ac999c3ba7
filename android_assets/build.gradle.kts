// The Android Gradle plugin has built-in Kotlin support, so there is no Kotlin plugin.
plugins {
    alias(libs.plugins.android.application) apply false
}
