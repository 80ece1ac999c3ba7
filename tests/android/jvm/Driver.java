import java.awt.image.BufferedImage;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.ArrayList;
import java.util.Base64;
import java.util.List;
import javax.imageio.ImageIO;
import mnext.demo.core.Box;
import mnext.demo.core.BoxDrawing;
import mnext.demo.core.Comparison;
import mnext.demo.core.Detection;
import mnext.demo.core.Fit;
import mnext.demo.core.Frame;
import mnext.demo.core.Golden;
import mnext.demo.core.InvalidFileException;
import mnext.demo.core.ModelInfo;
import mnext.demo.core.Interpolation;
import mnext.demo.core.Jpeg;
import mnext.demo.core.ModelMetadata;
import mnext.demo.core.TensorType;
import mnext.demo.core.Pixels;
import mnext.demo.core.Preprocess;
import mnext.demo.core.TensorsKt;
import mnext.demo.core.OrientedPixels;

/**
 * Runs the app's Kotlin code on a desktop JVM. Each line of standard input is a command with tab-separated arguments;
 * each line of output is "ok" or "error", followed by results or a message.
 */
public final class Driver {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok\t" + run(line.split("\t", -1));
            } catch (Exception error) { // Kotlin has no checked exceptions
                answer = "error\t" + (error instanceof InvalidFileException ? "" : error.getClass() + ": ") + error.getMessage();
            }
            System.out.println(answer);
        }
    }

    private static String run(String[] words) throws Exception {
        switch (words[0]) {
            case "raw":
                return preprocess(raw(words[1], Integer.parseInt(words[2]), Integer.parseInt(words[3])), words, 4);
            case "jpeg":
                return preprocess(jpeg(Files.readAllBytes(Path.of(words[1]))), words, 2);
            case "orientation":
                return "" + Jpeg.INSTANCE.orientation(Files.readAllBytes(Path.of(words[1])));
            case "profile":
                Files.write(Path.of(words[2]), Jpeg.INSTANCE.withoutProfile(Files.readAllBytes(Path.of(words[1]))));
                return "";
            case "model":
                ModelMetadata model = ModelMetadata.Companion.read(ByteBuffer.wrap(Files.readAllBytes(Path.of(words[1]))));
                return String.join("|", model.getLabels()) + "\t" + model.getPreprocess();
            case "info":
                return info(Files.readString(Path.of(words[1])));
            case "tensor":
                return tensor(TensorType.Dtype.valueOf(words[1]), words);
            case "top_k":
                return TensorsKt.topK(floats(words[2]), Integer.parseInt(words[1])).toString();
            case "difference":
                return "" + TensorsKt.maxAbsDifference(floats(words[1]), floats(words[2]));
            case "golden":
                return goldenCheck(words);
            case "labels":
                return labels(words);
            case "colors":
                return colors(Integer.parseInt(words[1]));
            case "detect":
                return ScenarioRunner.detect(words);
            case "load":
                return ScenarioRunner.load(words);
            case "classify":
                return ScenarioRunner.classify(words);
            default:
                throw new IllegalArgumentException("unknown command " + words[0]);
        }
    }

    private static String preprocess(Pixels pixels, String[] words, int at) throws Exception {
        Preprocess preprocess = new Preprocess(
                Integer.parseInt(words[at]),
                Double.parseDouble(words[at + 1]),
                Interpolation.valueOf(words[at + 2].toUpperCase()),
                Fit.valueOf(words[at + 3].toUpperCase()));
        long begin = System.nanoTime();
        float[] values = preprocess.apply(pixels);
        double milliseconds = (System.nanoTime() - begin) / 1e6;
        Files.write(Path.of(words[at + 4]), bytes(values));
        return "" + milliseconds;
    }

    private static Pixels raw(String path, int width, int height) throws Exception {
        byte[] rgb = Files.readAllBytes(Path.of(path));
        BufferedImage image = new BufferedImage(width, height, BufferedImage.TYPE_INT_RGB);
        int[] row = new int[width];
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++) {
                int i = (y * width + x) * 3;
                row[x] = (rgb[i] & 0xFF) << 16 | (rgb[i + 1] & 0xFF) << 8 | rgb[i + 2] & 0xFF;
            }
            image.setRGB(0, y, width, 1, row, 0, width);
        }
        return new BufferedImagePixels(image);
    }

    private static Pixels jpeg(byte[] file) throws Exception {
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(Jpeg.INSTANCE.withoutProfile(file)));
        return new OrientedPixels(new BufferedImagePixels(image), Jpeg.INSTANCE.orientation(file));
    }

    private static String info(String text) throws Exception {
        ModelInfo info = ModelInfo.Companion.parse(text, "test.json");
        String start = String.join("\t", info.getName(), info.getTitle(), info.getFile(), "" + info.getBytes(),
                info.getSha256(), info.getGolden().getInput());
        if (info.getGolden() instanceof Golden.Detections) {
            Golden.Detections d = (Golden.Detections) info.getGolden();
            return String.join("\t", start, "" + d.getDetections(), "" + d.getAbove(), "" + d.getMinIou(), "" + d.getTolerance());
        }
        Golden.Probabilities g = (Golden.Probabilities) info.getGolden();
        return String.join("\t", start, Base64.getEncoder().encodeToString(bytes(g.getOutput())), "" + g.getTolerance(), "" + g.getGpuTolerance());
    }

    /** Words: a NAME.json, and detections. Returns passed, found, expected, unexpected, lowest IoU, score difference. */
    private static String goldenCheck(String[] words) throws Exception {
        ModelInfo info = ModelInfo.Companion.parse(Files.readString(Path.of(words[1])), "test.json");
        Comparison.Boxes c = ((Golden.Detections) info.getGolden()).compare(detections(floats(words[2])));
        return c.getPassed() + "\t" + c.getFound() + "\t" + c.getExpected() + "\t" + c.getUnexpected() + "\t"
                + c.getLeastIou() + "\t" + c.getDifference();
    }

    /** Rows of x_min, y_min, x_max, y_max, class, score. */
    private static List<Detection> detections(float[] rows) {
        List<Detection> found = new ArrayList<>();
        for (int i = 0; i < rows.length; i += 6) {
            Box box = new Box(rows[i], rows[i + 1], rows[i + 2], rows[i + 3]);
            found.add(new Detection(box, (int) rows[i + 4], rows[i + 5]));
        }
        return found;
    }

    /** Words: boxes; a photo; the area of labels; a label's width, height. Returns the boxes' places and the labels'. */
    private static String labels(String[] words) {
        float[] boxes = floats(words[1]), size = floats(words[4]);
        Frame photo = frame(floats(words[2])), area = frame(floats(words[3]));
        List<Frame> placed = new ArrayList<>(), taken = new ArrayList<>();
        for (int i = 0; i < boxes.length; i += 4) {
            Box box = new Box(boxes[i], boxes[i + 1], boxes[i + 2], boxes[i + 3]);
            placed.add(BoxDrawing.INSTANCE.place(box, photo));
            taken.add(BoxDrawing.INSTANCE.placeLabel(placed.get(placed.size() - 1), size[0], size[1], area, taken));
        }
        return text(placed) + "\t" + text(taken);
    }

    private static Frame frame(float[] edges) {
        return new Frame(edges[0], edges[1], edges[2], edges[3]);
    }

    private static String text(List<Frame> frames) {
        float[] values = new float[4 * frames.size()];
        for (int i = 0; i < frames.size(); i++) {
            Frame f = frames.get(i);
            System.arraycopy(new float[] {f.getLeft(), f.getTop(), f.getRight(), f.getBottom()}, 0, values, 4 * i, 4);
        }
        return Base64.getEncoder().encodeToString(bytes(values));
    }

    private static String colors(int count) {
        List<String> found = new ArrayList<>();
        for (int label = 0; label < count; label++) {
            int color = BoxDrawing.INSTANCE.color(label);
            found.add(String.format("#%06X on #%06X", BoxDrawing.INSTANCE.textColor(color) & 0xFFFFFF, color & 0xFFFFFF));
        }
        return String.join("\t", found);
    }

    private static String tensor(TensorType.Dtype dtype, String[] words) {
        float[] values = floats(words[4]);
        TensorType type = new TensorType(dtype, Float.parseFloat(words[2]), Integer.parseInt(words[3]));
        ByteBuffer out = ByteBuffer.allocate(values.length * dtype.getBytes());
        TensorsKt.writeTensor(values, type, out);
        String written = Base64.getEncoder().encodeToString(out.array());
        return written + "\t" + Base64.getEncoder().encodeToString(bytes(TensorsKt.readTensor(out, type, values.length)));
    }

    private static float[] floats(String base64) {
        ByteBuffer in = ByteBuffer.wrap(Base64.getDecoder().decode(base64)).order(ByteOrder.LITTLE_ENDIAN);
        float[] values = new float[in.remaining() / 4];
        in.asFloatBuffer().get(values);
        return values;
    }

    private static byte[] bytes(float[] values) {
        ByteBuffer out = ByteBuffer.allocate(values.length * 4).order(ByteOrder.LITTLE_ENDIAN);
        out.asFloatBuffer().put(values);
        return out.array();
    }

    /** The counterpart of the app's BitmapPixels. */
    private static final class BufferedImagePixels implements Pixels {
        private final BufferedImage image;

        BufferedImagePixels(BufferedImage image) {
            this.image = image;
        }

        @Override
        public int getWidth() {
            return image.getWidth();
        }

        @Override
        public int getHeight() {
            return image.getHeight();
        }

        @Override
        public void block(int x, int y, int width, int height, int[] out) {
            image.getRGB(x, y, width, height, out, 0, width);
        }
    }
}
