/**
 * EncryptionConfiguration after defaults, as far as it could be decoded; not yet validated.
 *
 * Source of the names: k8s.io/apiserver `pkg/apis/apiserver/v1` (types_encryption.go).
 */

export interface EncryptionConfiguration {
  /** In order of precedence. */
  readonly resources: readonly ResourceConfiguration[];
}

export interface ResourceConfiguration {
  /** `resource`, `resource.group`, or the wildcards `*.`, `*.group`, `*.*`. */
  readonly resources: readonly string[];
  /** The first one writes, all read. */
  readonly providers: readonly ProviderConfiguration[];
}

/** A valid element has exactly one of them. */
export interface ProviderConfiguration {
  readonly aesgcm?: KeysConfiguration;
  readonly aescbc?: KeysConfiguration;
  readonly secretbox?: KeysConfiguration;
  readonly identity?: IdentityConfiguration;
  readonly kms?: KmsConfiguration;
}

export interface KeysConfiguration {
  /** The first one writes, all read. */
  readonly keys: readonly KeyConfiguration[];
}

export interface KeyConfiguration {
  readonly name: string;
  /** Base64; never shown. */
  readonly secret: string;
}

type IdentityConfiguration = Readonly<Record<string, never>>;

export interface KmsConfiguration {
  /** `v1` (default) or `v2`. */
  readonly apiVersion: string;
  readonly name: string;
  /** KMS v1 only, 1000 by default; negative keeps nothing. */
  readonly cacheSize: number | undefined;
  /** `unix:///path` or `unix:///@name`. */
  readonly endpoint: string;
  /** For one call; 3 s by default. */
  readonly timeoutMs: number;
}
