import java.awt.image.BufferedImage;
import java.io.BufferedReader;
import java.io.ByteArrayInputStream;
import java.io.InputStreamReader;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Base64;
import javax.imageio.ImageIO;
import mnext.demo.core.BadFile;
import mnext.demo.core.Description;
import mnext.demo.core.Interpolation;
import mnext.demo.core.Jpeg;
import mnext.demo.core.ModelFile;
import mnext.demo.core.NumberType;
import mnext.demo.core.Pixels;
import mnext.demo.core.Preprocess;
import mnext.demo.core.TensorsKt;
import mnext.demo.core.Upright;

/**
 * Runs the app's plain Kotlin on a desktop JVM for the tests. Each line of standard input is a command with its
 * arguments between tabs; each answer is a line: "ok" or "bad", and what there is to say.
 */
public final class Driver {
    public static void main(String[] arguments) throws Exception {
        BufferedReader in = new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line; (line = in.readLine()) != null; ) {
            String answer;
            try {
                answer = "ok\t" + run(line.split("\t"));
            } catch (Exception error) { // Kotlin does not declare what it throws
                answer = "bad\t" + (error instanceof BadFile ? "" : error.getClass() + ": ") + error.getMessage();
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
                ModelFile model = ModelFile.Companion.read(ByteBuffer.wrap(Files.readAllBytes(Path.of(words[1]))));
                return String.join("|", model.getLabels()) + "\t" + model.getPreprocess();
            case "description":
                return description(Files.readString(Path.of(words[1])));
            case "pack":
                return pack(NumberType.Kind.valueOf(words[1]), words);
            case "largest":
                return TensorsKt.largest(floats(words[2]), Integer.parseInt(words[1])).toString();
            case "difference":
                return "" + TensorsKt.largestDifference(floats(words[1]), floats(words[2]));
            case "open":
                return Play.open(words);
            case "classify":
                return Play.classify(words);
            default:
                throw new IllegalArgumentException("unknown command " + words[0]);
        }
    }

    private static String preprocess(Pixels pixels, String[] words, int at) throws Exception {
        Preprocess preprocess = new Preprocess(
                Integer.parseInt(words[at]),
                Double.parseDouble(words[at + 1]),
                Interpolation.valueOf(words[at + 2].toUpperCase()));
        long begin = System.nanoTime();
        float[] values = preprocess.apply(pixels);
        double milliseconds = (System.nanoTime() - begin) / 1e6;
        Files.write(Path.of(words[at + 3]), bytes(values));
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
        return new Desktop(image);
    }

    private static Pixels jpeg(byte[] file) throws Exception {
        BufferedImage image = ImageIO.read(new ByteArrayInputStream(Jpeg.INSTANCE.withoutProfile(file)));
        return new Upright(new Desktop(image), Jpeg.INSTANCE.orientation(file));
    }

    private static String description(String text) throws Exception {
        Description d = Description.Companion.parse(text, "test.json");
        Description.Golden g = d.getGolden();
        return String.join("\t", d.getName(), d.getTitle(), d.getFile(), "" + d.getBytes(), d.getSha256(), g.getInput(),
                Base64.getEncoder().encodeToString(bytes(g.getOutput())), "" + g.getTolerance(), "" + g.getGpuTolerance());
    }

    private static String pack(NumberType.Kind kind, String[] words) {
        float[] values = floats(words[4]);
        NumberType type = new NumberType(kind, Float.parseFloat(words[2]), Integer.parseInt(words[3]));
        ByteBuffer out = ByteBuffer.allocate(values.length * kind.getBytes());
        TensorsKt.pack(values, type, out);
        String packed = Base64.getEncoder().encodeToString(out.array());
        return packed + "\t" + Base64.getEncoder().encodeToString(bytes(TensorsKt.unpack(out, type, values.length)));
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

    /** What Android's Bitmap is in the app. */
    private static final class Desktop implements Pixels {
        private final BufferedImage image;

        Desktop(BufferedImage image) {
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
