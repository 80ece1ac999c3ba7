import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import kotlin.Pair;
import mnext.demo.Classifier;
import mnext.demo.Device;
import mnext.demo.DeviceKt;
import mnext.demo.Opened;
import mnext.demo.Timing;
import mnext.demo.core.ModelFile;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Scene;

/** The app's classes around LiteRT, with its stand-ins playing a scene. */
final class Play {
    private Play() {}

    /** Words: gpu or cpu, threads, then NAME=VALUE of {@link Scene}. What it ran on, why, and what was done. */
    static String open(String[] words) {
        set(words, 3);
        Device device;
        try (Opened opened = DeviceKt.open(ByteBuffer.allocate(1), words[1].equals("gpu"), Integer.parseInt(words[2]))) {
            device = opened.getDevice();
        }
        String refusal = device.getRefusal() == null ? "" : device.getRefusal().getReason() + " " + device.getRefusal().getText();
        String ran = device.getKind() + " " + device.getThreads() + " " + device.getSteps() + " " + device.getAllSteps();
        return ran + "\t" + refusal + "\t" + String.join(" ", Scene.events);
    }

    /** Words: a model, a value for all pixels, then NAME=VALUE. The probabilities, the bytes fed first, the runs timed. */
    static String classify(String[] words) throws Exception {
        set(words, 3);
        ByteBuffer model = ByteBuffer.wrap(Files.readAllBytes(Path.of(words[1])));
        ModelFile about = ModelFile.Companion.read(model);
        int side = about.getPreprocess().getInputSize();
        float[] pixels = new float[side * side * 3];
        Arrays.fill(pixels, Float.parseFloat(words[2]));
        try (Classifier classifier = new Classifier(DeviceKt.open(model, false, 2), about)) {
            Pair<float[], Timing> answer = classifier.classifyTimed(pixels);
            boolean timed = answer.getSecond().getMedian() >= 0 && answer.getSecond().getSingle() >= 0;
            return Arrays.toString(answer.getFirst()) + "\t" + Arrays.toString(Scene.fed) + "\t"
                    + (timed ? answer.getSecond().getCount() : -1);
        }
    }

    private static void set(String[] words, int from) {
        Scene.gpuSupported = true;
        Scene.makingFails = null;
        Scene.applyingFails = null;
        Scene.stepsWithGpu = 1;
        Scene.inputType = DataType.FLOAT32;
        Scene.outputShape = new int[] {1, 3};
        Scene.events.clear();
        for (String word : Arrays.copyOfRange(words, from, words.length)) {
            String value = word.substring(word.indexOf('=') + 1);
            switch (word.substring(0, word.indexOf('='))) {
                case "supported" -> Scene.gpuSupported = Boolean.parseBoolean(value);
                case "making" -> Scene.makingFails = new IllegalStateException(value);
                case "linking" -> Scene.makingFails = new NoClassDefFoundError(value);
                case "applying" -> Scene.applyingFails = new IllegalArgumentException(value);
                case "steps" -> Scene.stepsWithGpu = Integer.parseInt(value);
                case "input" -> Scene.inputType = DataType.valueOf(value);
                case "classes" -> Scene.outputShape = new int[] {1, Integer.parseInt(value)};
                default -> throw new IllegalArgumentException(word);
            }
        }
    }
}
