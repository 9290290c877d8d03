/**
 * A configuration's verdict without a server: what kube-apiserver would say when it started with it.
 */
import type { EncryptionConfiguration } from './config.js';
import { formatFieldError, type FieldError } from './field-error.js';
import { parseEncryptionConfig } from './parse.js';
import { configuredResources, validateEncryptionConfig } from './validate.js';
import { maskedRules } from './wildcards.js';
import { joinMessages } from './errors.js';

export interface CheckOptions {
  /** Named in errors, not opened. */
  readonly fileName: string;
  /** KMS v1 is refused without it, as upstream's feature gate does. */
  readonly kmsV1Enabled?: boolean;
  readonly automaticReload?: boolean;
}

export interface CheckResult {
  /** Empty when a server would start with the configuration. */
  readonly errors: readonly FieldError[];
  /** All errors as the one line kube-apiserver would print; undefined without any. */
  readonly message: string | undefined;
  /** As the configuration writes them; empty when there are errors. */
  readonly resources: readonly string[];
  /** Names of the `/healthz` and `/readyz` checks it brings; empty when there are errors. */
  readonly healthChecks: readonly string[];
}

export function checkEncryptionConfig(text: string, options: CheckOptions): CheckResult {
  const { config, errors, message } = readEncryptionConfig(text, options);
  if (config === undefined) return { errors, message, resources: [], healthChecks: [] };
  return {
    errors: [],
    message: undefined,
    resources: configuredResources(config),
    healthChecks: healthCheckNames(config, options.automaticReload ?? false),
  };
}

/** The configuration when nothing is wrong with it, else everything that is. */
export function readEncryptionConfig(
  text: string,
  options: CheckOptions,
):
  | { readonly config: EncryptionConfiguration; readonly errors?: undefined; readonly message?: undefined }
  | { readonly config?: undefined; readonly errors: readonly FieldError[]; readonly message: string } {
  const failed = (doing: string, errors: readonly FieldError[]) => ({
    errors,
    message: `error while ${doing}: ${joinMessages(errors.map(formatFieldError)) ?? ''}`,
  });
  if (text === '') {
    const name = JSON.stringify(options.fileName);
    return failed('parsing file', [
      {
        field: '',
        message: `error while loading file: encryption provider configuration file ${name} is empty`,
      },
    ]);
  }
  const parsed = parseEncryptionConfig(text, options.fileName);
  if (parsed.config === undefined) return failed('parsing file', parsed.errors);
  const invalid = validateEncryptionConfig(parsed.config, {
    automaticReload: options.automaticReload ?? false,
  });
  if (invalid.length > 0) return failed('parsing file', invalid);
  const unusable = [
    ...(options.kmsV1Enabled === true ? [] : kmsV1Providers(parsed.config)),
    ...maskedRules(parsed.config),
  ];
  if (unusable.length > 0) return failed('building transformers', unusable);
  return { config: parsed.config };
}

function kmsV1Providers(config: EncryptionConfiguration): readonly FieldError[] {
  return config.resources.flatMap(({ providers }, i) =>
    providers.flatMap(({ kms }, j) =>
      kms?.apiVersion === 'v1'
        ? [
            {
              field: `resources[${i}].providers[${j}].kms.apiVersion`,
              message:
                'KMSv1 is deprecated and will only receive security updates going forward. Use KMSv2 instead (apiVersion: v2), or enable KMS v1 explicitly.',
            },
          ]
        : [],
    ),
  );
}

function kmsVersions(config: EncryptionConfiguration): readonly string[] {
  return config.resources.flatMap(({ providers }) => providers.flatMap(({ kms }) => kms?.apiVersion ?? []));
}

/** With automatic reload, or with KMS v2 alone, one check stands for all plugins; else each plugin has its own. */
export function usesOneHealthCheck(config: EncryptionConfiguration, automaticReload: boolean): boolean {
  const versions = kmsVersions(config);
  return automaticReload || (versions.length > 0 && !versions.includes('v1'));
}

function healthCheckNames(config: EncryptionConfiguration, automaticReload: boolean): readonly string[] {
  if (usesOneHealthCheck(config, automaticReload)) return [ONE_HEALTH_CHECK_NAME];
  return kmsVersions(config).map((_, i) => providerCheckName(i));
}

export const ONE_HEALTH_CHECK_NAME = 'kms-providers';

/** @param index of the KMS provider among all of the configuration */
export function providerCheckName(index: number): string {
  return `kms-provider-${index}`;
}
