/** The address of an asset instead of its content, as Vite makes of such an import. */
declare module '*.wasm?url' {
  const url: string;
  export default url;
}
