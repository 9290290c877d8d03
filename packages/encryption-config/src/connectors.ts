/** How connections to KMS plugins are made; a parameter, so that tests need no socket. */
import {
  connectKmsV1,
  connectKmsV2,
  type ConnectKmsOptions,
  type KmsV1Client,
  type KmsV2Client,
} from '@waxseal/kms-api';

export interface KmsConnectors {
  /** Must not wait for the plugin: it may come up later. */
  connectKmsV1(options: ConnectKmsOptions): KmsV1Client;
  connectKmsV2(options: ConnectKmsOptions): KmsV2Client;
}

export const grpcConnectors: KmsConnectors = { connectKmsV1, connectKmsV2 };
