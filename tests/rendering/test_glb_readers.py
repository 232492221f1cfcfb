"""GLB as others read it: Khronos' validator, and three.js in a browser. Both come by npm: see tools/web."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest
from browsing import CHROMIUM, browser, tab, until

from omniges.motion.layout import JOINT_NAMES
from omniges.motion.skeleton import joint_positions
from omniges.rendering.face import MORPHS, face_weights
from omniges.rendering.glb import write_glb

MODULES = Path(__file__).parents[2] / "tools" / "web" / "node_modules"


def module(name):
    """A package of npm, or a visible skip."""
    if not (MODULES / name).is_dir():
        pytest.skip(f"no {name}: run `npm install` in tools/web")
    return MODULES / name


@pytest.fixture
def glb(tmp_path, motion):
    path = tmp_path / "a.glb"
    write_glb(path, motion, name="two seconds")
    return path


def test_khronos_validator_finds_nothing(glb):
    module("gltf-validator")
    if shutil.which("node") is None:
        pytest.skip("no node on this machine")
    script = (
        "const v = require('gltf-validator'), fs = require('fs');"
        "v.validateBytes(new Uint8Array(fs.readFileSync(process.argv[1])))"
        ".then(r => console.log(JSON.stringify(r)))"
    )
    done = subprocess.run(
        ["node", "-e", script, str(glb)],
        env={**os.environ, "NODE_PATH": str(MODULES)},
        capture_output=True,
        text=True,
        check=True,
    )
    report = json.loads(done.stdout)
    assert (report["issues"]["numErrors"], report["issues"]["numWarnings"]) == (0, 0), report["issues"]
    assert (report["info"]["hasSkins"], report["info"]["hasMorphTargets"]) == (True, True)


PAGE = """<!doctype html><link rel="icon" href="data:,"><canvas id="view" width="300" height="400"></canvas>
<script type="importmap">{"imports": {"three": "/build/three.module.js"}}</script>
<script type="module">
import * as THREE from "three";
import { GLTFLoader } from "/examples/jsm/loaders/GLTFLoader.js";
const file = await new GLTFLoader().loadAsync("/a.glb"), scene = new THREE.Scene(), mixer = new THREE.AnimationMixer(file.scene);
scene.add(file.scene, new THREE.HemisphereLight(0xffffff, 0x888888, 3));
const camera = new THREE.PerspectiveCamera(40, 0.75, 0.1, 20);
camera.position.set(0, 1, 3.5); camera.lookAt(0, 0.9, 0);
const renderer = new THREE.WebGLRenderer({ canvas: document.getElementById("view"), preserveDrawingBuffer: true });
mixer.clipAction(file.animations[0]).play();
window.at = time => {
  mixer.setTime(time); scene.updateMatrixWorld(true); renderer.render(scene, camera);
  const places = {}, place = new THREE.Vector3();
  let weights = null;
  file.scene.traverse(node => {
    if (node.isBone) places[node.name] = node.getWorldPosition(place).toArray();
    if (node.morphTargetInfluences) weights = [...node.morphTargetInfluences];
  });
  return { places, weights, seconds: file.animations[0].duration, name: file.animations[0].name };
};
window.ready = true;
</script>"""  # noqa: E501


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_three_js_opens_it_and_moves_bones_and_face_as_the_clip_does(glb, motion):
    three = module("three")

    def answer(route):
        path = route.request.url.removeprefix("http://glb.test/")
        if path == "":
            return route.fulfill(body=PAGE, content_type="text/html")
        if path == "a.glb":
            return route.fulfill(body=glb.read_bytes(), content_type="model/gltf-binary")
        return route.fulfill(body=(three / path).read_text("utf-8"), content_type="text/javascript")

    with browser() as chromium, tab(chromium) as watched:
        watched.page.route("**/*", answer)
        watched.page.goto("http://glb.test/")
        until(watched.page, "window.ready")
        first = watched.picture()
        seen = watched.page.evaluate("at(23 / 30)")
        assert (seen["name"], seen["seconds"]) == ("two seconds", pytest.approx(59 / 30, abs=1e-4))
        got = [seen["places"][name] for name in JOINT_NAMES]
        np.testing.assert_allclose(got, joint_positions(motion)[23], atol=1e-4)
        np.testing.assert_allclose(seen["weights"], face_weights(motion)[23], atol=1e-4)
        assert len(seen["weights"]) == len(MORPHS)
        shown = watched.picture()[:400, :300]
        assert (np.abs(shown - first[:400, :300]).max(2) > 40).mean() > 0.05, "three.js draws no body"
        assert watched.said == []
