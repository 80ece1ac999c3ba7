package org.tensorflow.lite;

import java.util.ArrayList;
import java.util.List;

/** The behavior of these stubs in the tests that run the app on a desktop JVM; not part of LiteRT. */
public final class Scenario {
    public static boolean gpuSupported = true;
    /** Thrown when a delegate is created or applied; null for success. */
    public static Throwable creationError;
    public static RuntimeException applyError;
    /** The length of the execution plan; -1: the method fails. */
    public static int nodesOnGpu = 1;
    public static int nodesOnCpu = 66;

    public static DataType inputType = DataType.FLOAT32;
    public static int[] inputShape = {1, 32, 32, 3};
    /** The outputs of an inference, and the first bytes of the last input. */
    public static List<Output> outputs = List.of();
    public static byte[] lastInput = {};

    /** A float32 output of the model. */
    public static final class Output {
        final String name;
        final int[] shape;
        final float[] values;

        public Output(String name, int[] shape, float... values) {
            this.name = name;
            this.shape = shape;
            this.values = values;
        }
    }

    /** What was created and closed, in order. */
    public static final List<String> events = new ArrayList<>();

    private Scenario() {}

    @SuppressWarnings("unchecked")
    static <T extends Throwable> void raise(Throwable error) throws T {
        throw (T) error;
    }

    public static void failCreation() {
        if (creationError != null) {
            Scenario.<RuntimeException>raise(creationError);
        }
    }
}
