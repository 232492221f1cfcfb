// What the pages use of three.js; everything else stays out of the bundle.
export {
  BufferAttribute, BufferGeometry, Bone, Color, DirectionalLight, HemisphereLight, Matrix4, Mesh, MeshStandardMaterial, PerspectiveCamera,
  PlaneGeometry, Quaternion, REVISION, Scene, ShaderMaterial, SkinnedMesh, Skeleton, Vector3, Vector4, WebGLRenderer,
} from "three";
