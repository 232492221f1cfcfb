// Bundle what the pages use of three.js, with its licence in front. Run: npm install && npm run build
const esbuild = require("esbuild"), fs = require("fs"), path = require("path");

const three = path.join(__dirname, "node_modules", "three");
const { version } = JSON.parse(fs.readFileSync(path.join(three, "package.json"), "utf8"));
const licence = fs.readFileSync(path.join(three, "LICENSE"), "utf8").trim();

esbuild.buildSync({
  entryPoints: [path.join(__dirname, "three.js")],
  outfile: path.join(__dirname, "..", "..", "omniges", "rendering", "data", "three.min.js"),
  bundle: true,
  minify: true,
  format: "iife",
  globalName: "THREE",
  target: "es2020",
  legalComments: "none",
  banner: { js: `/*! three.js ${version}, https://threejs.org\n\n${licence}\n*/` },
});
