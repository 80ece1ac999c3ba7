import java.nio.ByteBuffer;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.List;
import java.util.stream.Collectors;
import kotlin.Pair;
import mnext.demo.Backend;
import mnext.demo.BackendKt;
import mnext.demo.Classifier;
import mnext.demo.Detector;
import mnext.demo.Found;
import mnext.demo.GpuFallback;
import mnext.demo.LoadedModel;
import mnext.demo.Timing;
import mnext.demo.core.ModelMetadata;
import org.tensorflow.lite.DataType;
import org.tensorflow.lite.Scenario;

/** Runs the app's classes that use LiteRT, with stubs that behave according to {@link Scenario}. */
final class ScenarioRunner {
    private ScenarioRunner() {}

    /** Words: gpu or cpu, threads, then NAME=VALUE of {@link Scenario}. Returns backend, fallback, and events. */
    static String load(String[] words) {
        set(words, 3);
        Backend backend;
        boolean gpu = words[1].equals("gpu");
        boolean detector = Arrays.asList(words).contains("detector=true");
        try (LoadedModel model = BackendKt.loadModel(ByteBuffer.allocate(1), gpu, Integer.parseInt(words[2]), detector)) {
            backend = model.getBackend();
        }
        GpuFallback fallback = backend.getFallback();
        String why = fallback == null ? "" : fallback.getReason() + " " + fallback.getMessage();
        String ran = backend.getKind() + " " + backend.getThreads() + " " + backend.getNodes() + " " + backend.getTotalNodes();
        return ran + "\t" + why + "\t" + String.join(" ", Scenario.events);
    }

    /** Words: a model, a value for all pixels, NAME=VALUE... Returns probabilities, input bytes, number of timed runs. */
    static String classify(String[] words) throws Exception {
        set(words, 3);
        ByteBuffer model = ByteBuffer.wrap(Files.readAllBytes(Path.of(words[1])));
        ModelMetadata metadata = ModelMetadata.Companion.read(model);
        int size = metadata.getPreprocess().getInputSize();
        float[] pixels = new float[size * size * 3];
        Arrays.fill(pixels, Float.parseFloat(words[2]));
        try (Classifier classifier = new Classifier(BackendKt.loadModel(model, false, 2, false), metadata)) {
            Pair<float[], Timing> result = classifier.runTimed(pixels);
            boolean timed = result.getSecond().getMedian() >= 0 && result.getSecond().getSingle() >= 0;
            return Arrays.toString(result.getFirst()) + "\t" + Arrays.toString(Scenario.lastInput) + "\t"
                    + (timed ? result.getSecond().getCount() : -1);
        }
    }

    /** Words: a model, NAME=VALUE... Returns what is found in a black image: name:score:box. */
    static String detect(String[] words) throws Exception {
        set(words, 2);
        ByteBuffer model = ByteBuffer.wrap(Files.readAllBytes(Path.of(words[1])));
        ModelMetadata metadata = ModelMetadata.Companion.read(model);
        int size = metadata.getPreprocess().getInputSize();
        Scenario.inputShape = new int[] {1, size, size, 3};
        try (Detector detector = new Detector(BackendKt.loadModel(model, true, 2, true), metadata)) {
            List<Found> found = detector.findTimed(new float[size * size * 3]).getFirst();
            return found.stream().map(f -> f.getName() + ":" + f.getScore() + ":" + f.getBox()).collect(Collectors.joining(" "));
        }
    }

    /** Outputs of a detector: NAME:SHAPE:VALUES;..., with commas between numbers. */
    private static List<Scenario.Output> detectorOutputs(String text) {
        return Arrays.stream(text.split(";")).map(word -> {
            String[] parts = word.split(":");
            int[] shape = Arrays.stream(parts[1].split(",")).mapToInt(Integer::parseInt).toArray();
            String[] numbers = parts[2].split(",");
            float[] values = new float[numbers.length];
            for (int i = 0; i < values.length; i++) {
                values[i] = Float.parseFloat(numbers[i]);
            }
            return new Scenario.Output(parts[0], shape, values);
        }).collect(Collectors.toList());
    }

    private static void set(String[] words, int from) {
        Scenario.gpuSupported = true;
        Scenario.creationError = null;
        Scenario.applyError = null;
        Scenario.nodesOnGpu = 1;
        Scenario.inputType = DataType.FLOAT32;
        Scenario.inputShape = new int[] {1, 32, 32, 3};
        Scenario.outputs = List.of(new Scenario.Output("probabilities", new int[] {1, 3}, 0.25f, 0.5f, 0.25f));
        Scenario.events.clear();
        for (String word : Arrays.copyOfRange(words, from, words.length)) {
            String value = word.substring(word.indexOf('=') + 1);
            switch (word.substring(0, word.indexOf('='))) {
                case "supported" -> Scenario.gpuSupported = Boolean.parseBoolean(value);
                case "creation_error" -> Scenario.creationError = new IllegalStateException(value);
                case "link_error" -> Scenario.creationError = new NoClassDefFoundError(value);
                case "apply_error" -> Scenario.applyError = new IllegalArgumentException(value);
                case "nodes" -> Scenario.nodesOnGpu = Integer.parseInt(value);
                case "input" -> Scenario.inputType = DataType.valueOf(value);
                case "classes" -> Scenario.outputs = List.of(new Scenario.Output("", new int[] {1, Integer.parseInt(value)}));
                case "detector" -> {}
                case "found" -> Scenario.outputs = detectorOutputs(value);
                default -> throw new IllegalArgumentException(word);
            }
        }
    }
}
