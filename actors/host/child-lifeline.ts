/**
 * Inside a child: ends the process when its parent is gone, however the parent ended. The operating
 * system closes the IPC channel even after a SIGKILL, so nothing is polled and nothing stays behind.
 */
export function followParent(): void {
  // SIGKILL, because an orderly exit may hang in a native thread, and nobody is left to insist.
  const end = () => process.kill(process.pid, "SIGKILL");
  process.on("disconnect", end);
  if (process.connected !== true) end();
}
