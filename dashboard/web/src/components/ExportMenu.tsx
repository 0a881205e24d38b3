import { Button, Menu } from '@mantine/core';
import { notifications } from '@mantine/notifications';
import {
  type Icon,
  IconBadgeCc,
  IconBraces,
  IconDownload,
  IconFileText,
  IconFileTypePdf,
  IconTable,
} from '@tabler/icons-react';
import { api, ProblemError } from '../api/client';
import { EXPORT_FORMATS, type ExportFormat } from '../api/types';

const REVOKE_AFTER_MS = 60_000;
const FORMATS: Record<ExportFormat, { icon: Icon; word: string }> = {
  txt: { icon: IconFileText, word: 'Plain text' },
  pdf: { icon: IconFileTypePdf, word: 'Pages (PDF)' },
  srt: { icon: IconBadgeCc, word: 'Subtitles (SRT)' },
  vtt: { icon: IconBadgeCc, word: 'Subtitles (WebVTT)' },
  csv: { icon: IconTable, word: 'Table (CSV)' },
  json: { icon: IconBraces, word: 'Everything (JSON)' },
};

async function save(callId: string, format: ExportFormat) {
  try {
    const { name, content } = await api.exportFile(callId, format);
    const link = document.createElement('a');
    link.href = URL.createObjectURL(content);
    link.download = name;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), REVOKE_AFTER_MS);
  } catch (error) {
    notifications.show({
      color: 'orange',
      title: 'The call could not be exported',
      message: error instanceof ProblemError && error.detail ? error.detail : 'The server does not answer.',
    });
  }
}

export function ExportMenu({ callId }: { callId: string }) {
  return (
    <Menu width={200}>
      <Menu.Target>
        <Button variant="default" size="xs" leftSection={<IconDownload size={15} stroke={1.8} />}>
          Export
        </Button>
      </Menu.Target>
      <Menu.Dropdown>
        {EXPORT_FORMATS.map((format) => {
          const { icon: Icon, word } = FORMATS[format];
          return (
            <Menu.Item
              key={format}
              component="a"
              href={api.exportUrl(callId, format)}
              download
              onClick={(event) => {
                // A PDF's built-in fonts lack most alphabets: a refusal belongs on the screen, not into a file.
                if (format !== 'pdf') return;
                event.preventDefault();
                void save(callId, format);
              }}
              leftSection={<Icon size={16} stroke={1.7} />}
            >
              {word}
            </Menu.Item>
          );
        })}
      </Menu.Dropdown>
    </Menu>
  );
}
