/** The types of the server's messages, by their letters. */
export const PARSE_COMPLETE = 0x31;
export const BIND_COMPLETE = 0x32;
export const CLOSE_COMPLETE = 0x33;
export const NOTIFICATION = 0x41;
export const COMMAND_COMPLETE = 0x43;
export const DATA_ROW = 0x44;
export const ERROR = 0x45;
export const COPY_IN = 0x47;
export const COPY_OUT = 0x48;
export const EMPTY_QUERY = 0x49;
export const BACKEND_KEY = 0x4b;
export const NOTICE = 0x4e;
export const AUTHENTICATION = 0x52;
export const PARAMETER_STATUS = 0x53;
export const ROW_DESCRIPTION = 0x54;
export const COPY_BOTH = 0x57;
export const READY_FOR_QUERY = 0x5a;
export const COPY_DONE = 0x63;
export const COPY_DATA = 0x64;
export const NO_DATA = 0x6e;
export const PORTAL_SUSPENDED = 0x73;
export const PARAMETER_DESCRIPTION = 0x74;

/** A message's type and its length. */
export const HEADER_BYTES = 5;

const NAMES: ReadonlyMap<number, string> = new Map([
  [PARSE_COMPLETE, 'ParseComplete'],
  [BIND_COMPLETE, 'BindComplete'],
  [CLOSE_COMPLETE, 'CloseComplete'],
  [NOTIFICATION, 'NotificationResponse'],
  [COMMAND_COMPLETE, 'CommandComplete'],
  [DATA_ROW, 'DataRow'],
  [ERROR, 'ErrorResponse'],
  [COPY_IN, 'CopyInResponse'],
  [COPY_OUT, 'CopyOutResponse'],
  [EMPTY_QUERY, 'EmptyQueryResponse'],
  [BACKEND_KEY, 'BackendKeyData'],
  [NOTICE, 'NoticeResponse'],
  [AUTHENTICATION, 'Authentication'],
  [PARAMETER_STATUS, 'ParameterStatus'],
  [ROW_DESCRIPTION, 'RowDescription'],
  [COPY_BOTH, 'CopyBothResponse'],
  [READY_FOR_QUERY, 'ReadyForQuery'],
  [COPY_DONE, 'CopyDone'],
  [COPY_DATA, 'CopyData'],
  [NO_DATA, 'NoData'],
  [PORTAL_SUSPENDED, 'PortalSuspended'],
  [PARAMETER_DESCRIPTION, 'ParameterDescription'],
]);

/** The name of a type of message in the protocol's documentation. */
export function messageName(type: number): string {
  return NAMES.get(type) ?? `a message of type 0x${type.toString(16).padStart(2, '0')}`;
}

/** Messages that the server may send at any time, whatever runs. */
export function isUnasked(type: number): boolean {
  return type === NOTICE || type === NOTIFICATION || type === PARAMETER_STATUS;
}
