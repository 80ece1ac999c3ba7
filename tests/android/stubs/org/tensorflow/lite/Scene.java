package org.tensorflow.lite;

import java.util.ArrayList;
import java.util.List;

/** What the stand-ins play, for the tests that run the app's classes on a desktop JVM; LiteRT has nothing of the kind. */
public final class Scene {
    public static boolean gpuSupported = true;
    /** A Throwable or null: thrown where a delegate is made, or where it is applied. */
    public static Throwable makingFails;
    public static RuntimeException applyingFails;
    /** Steps of an inference; -1: the method fails. */
    public static int stepsWithGpu = 1;
    public static int stepsWithout = 66;

    public static DataType inputType = DataType.FLOAT32;
    public static int[] inputShape = {1, 32, 32, 3};
    public static int[] outputShape = {1, 3};
    /** What an inference gives, and the first bytes that the last one was fed. */
    public static float[] output = {0.25f, 0.5f, 0.25f};
    public static byte[] fed = {};

    /** What was opened, run and closed, in order. */
    public static final List<String> events = new ArrayList<>();

    private Scene() {}

    @SuppressWarnings("unchecked")
    static <T extends Throwable> void raise(Throwable error) throws T {
        throw (T) error;
    }

    public static void failMaking() {
        if (makingFails != null) {
            Scene.<RuntimeException>raise(makingFails);
        }
    }
}
