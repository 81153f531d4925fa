/**
 * Setting V8's flags while it runs, which is how a compilation tier is chosen. Not imported from node:v8: that module loads
 * Node's streams, which costs start-up time, and a start-up snapshot that holds them cannot start Workers.
 */

let setter = (flag: string): void => process.getBuiltinModule('node:v8').setFlagsFromString(flag);

/** `--flag` or `--no-flag`, for what is compiled from now on, in all threads. */
export function setV8Flag(flag: string): void {
  setter(flag);
}

/** The engine has a quicker way (host/ffi.ts). */
export function setV8FlagsBy(set: (flag: string) => void): void {
  setter = set;
}
