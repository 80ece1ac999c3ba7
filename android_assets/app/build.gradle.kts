plugins {
    alias(libs.plugins.android.application)
}

android {
    namespace = "mnext.demo"
    compileSdk = 36

    defaultConfig {
        applicationId = "mnext.demo"
        minSdk = 23
        targetSdk = 36
        versionCode = 1
        versionName = "1.0"
    }

    androidResources {
        noCompress += "tflite" // models are mapped from the APK as they are
    }
}

dependencies {
    // 1.4 is the last line of LiteRT with the Interpreter (org.tensorflow.lite); 2.x has another API.
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.litert.gpu.api) // GpuDelegate needs it, and litert-gpu does not bring it
}
