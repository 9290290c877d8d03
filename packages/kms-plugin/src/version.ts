/** What the plugin says it is: KMS v1's `runtimeVersion`, and a label of its build metric. */
export const pluginVersion = '0.1.0';
