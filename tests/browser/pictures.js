// What a test does with pictures, in a browser's page, so that it needs no library: it compares and shrinks them.
"use strict";

async function pixels(url, width, height) {
  const image = new Image();
  image.src = url;
  await image.decode();
  const canvas = new OffscreenCanvas(width ?? image.width, height ?? image.height);
  const context = canvas.getContext("2d");
  context.imageSmoothingQuality = "high";
  context.drawImage(image, 0, 0, canvas.width, canvas.height);
  return { size: [image.width, image.height], data: context.getImageData(0, 0, canvas.width, canvas.height).data };
}

const luminance = (data, at) => (0.2126 * data[at] + 0.7152 * data[at + 1] + 0.0722 * data[at + 2]) / 255;

// Return both sizes, and how far the pictures are apart, 0 to 1, when each is shrunk to a few cells.
async function compare([one, other], [columns, rows]) {
  const [a, b] = await Promise.all([pixels(one, columns, rows), pixels(other, columns, rows)]);
  let sum = 0;
  for (let at = 0; at < a.data.length; at += 4) sum += Math.abs(luminance(a.data, at) - luminance(b.data, at));
  return { sizes: [a.size, b.size], apart: sum / (columns * rows) };
}

const MOST_COLOURS = 256;

// Return the index of each pixel's colour among the most frequent ones, and those.
function indexed(data) {
  const words = new Uint32Array(data.buffer);
  const counts = new Map();
  for (const word of words) counts.set(word, (counts.get(word) ?? 0) + 1);
  const palette = [...counts].sort((a, b) => b[1] - a[1]).slice(0, MOST_COLOURS).map(([word]) => word);
  const parts = (word) => [word & 255, (word >> 8) & 255, (word >> 16) & 255];
  const colours = palette.map(parts);
  const nearest = new Map(palette.map((word, index) => [word, index]));
  for (const word of counts.keys()) {
    if (nearest.has(word)) continue;
    const [r, g, b] = parts(word);
    let best = 0, least = Infinity;
    colours.forEach(([cr, cg, cb], index) => {
      const distance = (r - cr) ** 2 + (g - cg) ** 2 + (b - cb) ** 2;
      if (distance < least) [best, least] = [index, distance];
    });
    nearest.set(word, best);
  }
  return { colours, indices: Uint8Array.from(words, (word) => nearest.get(word)) };
}

function crc(bytes) {
  let value = ~0;
  for (const byte of bytes) {
    value ^= byte;
    for (let bit = 0; bit < 8; bit++) value = (value >>> 1) ^ (value & 1 ? 0xedb88320 : 0);
  }
  return ~value >>> 0;
}

const four = (number) => [24, 16, 8, 0].map((bits) => (number >>> bits) & 255);

function chunk(name, content) {
  const body = new Uint8Array([...name].map((letter) => letter.charCodeAt(0)).concat([...content]));
  return [...four(content.length), ...body, ...four(crc(body))];
}

async function deflated(bytes) {
  const stream = new Blob([bytes]).stream().pipeThrough(new CompressionStream("deflate"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

// Return the picture as a PNG of at most 256 colours, in base64.
async function shrunk(url) {
  const { size: [width, height], data } = await pixels(url);
  const { colours, indices } = indexed(data);
  const lines = new Uint8Array((width + 1) * height);
  for (let row = 0; row < height; row++) lines.set(indices.subarray(row * width, (row + 1) * width), row * (width + 1) + 1);
  const png = new Uint8Array([
    137, 80, 78, 71, 13, 10, 26, 10,
    ...chunk("IHDR", [...four(width), ...four(height), 8, 3, 0, 0, 0]),
    ...chunk("PLTE", colours.flat()),
    ...chunk("IDAT", await deflated(lines)),
    ...chunk("IEND", []),
  ]);
  return png.toBase64();
}
