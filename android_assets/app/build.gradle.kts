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
        noCompress += "tflite" // models are memory-mapped from the APK
    }
}

dependencies {
    // LiteRT 1.4 is the last release line with the Interpreter API (org.tensorflow.lite); 2.x has a different API.
    implementation(libs.litert)
    implementation(libs.litert.gpu)
    implementation(libs.litert.gpu.api) // required by GpuDelegate, but not a dependency of litert-gpu
}
