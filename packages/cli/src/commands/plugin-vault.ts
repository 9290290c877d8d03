/** `waxseal plugin vault`: DEKs wrapped with the transit engine of Vault or OpenBao. */
import { createVaultProvider, type VaultAuth } from '@waxseal/kms-plugin';
import { CliError, exitCodes } from '../errors.js';
import { definedOnly, givenFiles, serveKey, type ServeOptions } from './plugin-serve-key.js';

interface VaultOptions extends ServeOptions {
  readonly key: string;
  readonly address?: readonly string[];
  readonly mount: string;
  readonly namespace?: string;
  readonly context?: string;
  readonly associatedData?: string;
  readonly caFile?: string;
  readonly clientCertFile?: string;
  readonly clientKeyFile?: string;
  readonly tlsServerName?: string;
  readonly authMethod: VaultAuth['kind'];
  readonly authMount?: string;
  readonly authRole?: string;
  readonly tokenFile?: string;
  readonly roleId?: string;
  readonly roleIdFile?: string;
  readonly secretIdFile?: string;
  readonly secretIdWrapped: boolean;
  readonly jwtFile?: string;
}

export async function pluginVault(options: VaultOptions): Promise<void> {
  const address = options.address ?? fromEnvironment('ADDR');
  if (address === undefined)
    throw new CliError('the vault provider needs --address', 'Or set VAULT_ADDR.', exitCodes.usage);
  const provider = createVaultProvider({
    keyName: options.key,
    address,
    mount: options.mount,
    auth: authOf(options),
    ...definedOnly({
      namespace: options.namespace ?? fromEnvironment('NAMESPACE'),
      context: options.context,
      associatedData: options.associatedData,
      caFile: options.caFile ?? fromEnvironment('CACERT'),
      clientCertFile: options.clientCertFile ?? fromEnvironment('CLIENT_CERT'),
      clientKeyFile: options.clientKeyFile ?? fromEnvironment('CLIENT_KEY'),
      serverName: options.tlsServerName ?? fromEnvironment('TLS_SERVER_NAME'),
    }),
  });
  await serveKey(provider, {
    ...options,
    secretFiles: givenFiles(
      options.tokenFile,
      options.roleIdFile,
      options.secretIdFile,
      options.jwtFile,
      options.clientKeyFile ?? fromEnvironment('CLIENT_KEY'),
    ),
  });
}

function authOf(options: VaultOptions): VaultAuth {
  const mount = definedOnly({ mount: options.authMount });
  switch (options.authMethod) {
    case 'token': {
      const { tokenFile } = options;
      const token = fromEnvironment('TOKEN');
      if (tokenFile !== undefined) return { kind: 'token', tokenFile };
      if (token !== undefined) return { kind: 'token', token };
      throw new CliError(
        'the vault provider needs a token or another --auth-method',
        'Give --token-file, or set VAULT_TOKEN.',
        exitCodes.usage,
      );
    }
    case 'approle': {
      const { roleId, roleIdFile, secretIdFile, secretIdWrapped } = options;
      return {
        kind: 'approle',
        secretIdWrapped,
        ...mount,
        ...definedOnly({ roleId, roleIdFile, secretIdFile }),
      };
    }
    case 'kubernetes':
    case 'jwt': {
      const { authMethod, authRole, jwtFile } = options;
      if (authRole === undefined)
        throw new CliError(
          `--auth-method ${authMethod} needs --auth-role`,
          'Name the role of the auth method.',
          exitCodes.usage,
        );
      return { kind: authMethod, role: authRole, ...mount, ...definedOnly({ jwtFile }) };
    }
    default:
      return {
        kind: options.authMethod satisfies 'cert',
        ...mount,
        ...definedOnly({ role: options.authRole }),
      };
  }
}

/** As the tools of OpenBao and of Vault read it; empty is as good as absent. */
function fromEnvironment(name: string): string | undefined {
  return [process.env[`BAO_${name}`], process.env[`VAULT_${name}`]].find(
    (value) => value !== undefined && value !== '',
  );
}
