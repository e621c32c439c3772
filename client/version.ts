/** Version of the SDK, told to the coordinator at `hello`. A test holds it against package.json. */
export const SDK_VERSION = '0.1.0';
