/** What Vite makes of a worker that is imported to be part of the bundle. */
declare module '*?worker&inline' {
  const TrainingWorker: new () => Worker;
  export default TrainingWorker;
}
